"""The handshake as bytes."""

from __future__ import annotations

import pytest

from gateway.edge.sockets.upgrade import MAX_SUBPROTOCOLS, Headers, Refused, read_request, response

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def head(
    method: bytes = b"GET", version: bytes = b"13", key: bytes = KEY, *further: bytes
) -> bytes:
    lines = [
        method + b" /path?a=b%20c HTTP/1.1",
        b"Host: localhost",
        b"Sec-WebSocket-Version: " + version,
        b"Sec-WebSocket-Key: " + key,
        *further,
    ]
    return b"\r\n".join([*lines, b"", b""])


def test_a_request_is_read_with_names_in_lower_case() -> None:
    upgrade = read_request(
        head(b"GET", b"13", KEY, b"X-Empty:", b"Sec-WebSocket-Protocol: a, b", b"X:y:z ")
    )

    assert upgrade.target == b"/path?a=b%20c"
    assert upgrade.headers[0] == (b"host", b"localhost")
    assert upgrade.headers[-1] == (b"x", b"y:z")
    assert (b"x-empty", b"") in upgrade.headers
    assert upgrade.subprotocols == ["a", "b"]


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (head(b"POST"), b"405"),
        (head(version=b"8"), b"426"),
        (head(b"GET", b"13", KEY, b"Sec-WebSocket-Version: 13"), b"426"),
        (head(key=b"c2hvcnQ="), b"400"),
        (head(key=b"!" + KEY[1:]), b"400"),
        (head(b"GET", b"13", KEY, b"Sec-WebSocket-Key: " + KEY), b"400"),
        (head().replace(b"HTTP/1.1", b"HTTP/1.0"), b"400"),
        (head().replace(b"Host: localhost\r\n", b""), b"400"),
        (head(b"GET", b"13", KEY, b"Host: localhost"), b"400"),
        (head(b"GET", b"13", KEY, b"Content-Length: 5"), b"400"),
        (head(b"GET", b"13", KEY, b"Transfer-Encoding: chunked"), b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"426"),
    ],
    ids=[
        "method",
        "version",
        "two versions",
        "short key",
        "no base64",
        "two keys",
        "HTTP/1.0",
        "no host",
        "two hosts",
        "a body",
        "a body in chunks",
        "nothing",
    ],
)
def test_what_is_no_handshake_is_refused(bad: bytes, status: bytes) -> None:
    with pytest.raises(Refused) as raised:
        read_request(bad)

    assert raised.value.response.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("lines", [1, 2])
def test_the_subprotocols_that_a_client_offers_are_bounded(lines: int) -> None:
    """Red while any were kept: 64 KB of ``ab,ab`` were 1.5 MB for as long as the socket stayed."""

    def offering(count: int) -> bytes:
        each = b"Sec-WebSocket-Protocol: " + b",".join([b"ab"] * (count // lines))
        return head(b"GET", b"13", KEY, *[each] * lines)

    assert read_request(offering(MAX_SUBPROTOCOLS)).subprotocols == ["ab"] * MAX_SUBPROTOCOLS
    with pytest.raises(Refused) as raised:
        read_request(offering(MAX_SUBPROTOCOLS + lines))
    assert raised.value.response.startswith(b"HTTP/1.1 400")
    assert raised.value.response.endswith(b"too many subprotocols offered")


def test_a_body_of_no_bytes_is_none() -> None:
    assert read_request(head(b"GET", b"13", KEY, b"Content-Length: 0")).key == KEY


def test_a_refused_version_is_told_the_right_one() -> None:
    with pytest.raises(Refused) as raised:
        read_request(head(version=b"8"))

    assert b"\r\nSec-WebSocket-Version: 13\r\n" in raised.value.response


def test_it_is_accepted_with_the_key_of_the_rfc() -> None:
    answer = read_request(head()).accepted("chat", [(b"x-one", b"1")])

    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert b"\r\nSec-WebSocket-Protocol: chat\r\n" in answer
    assert answer.endswith(b"\r\nx-one: 1\r\n\r\n")


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"1\r\nSet-Cookie: a=b"),
        (b"x\r\ny", b"1"),
        (b"", b"1"),
        (b"x y", b"1"),
        (b"Sec-WebSocket-Accept", b"forged"),
    ],
)
def test_a_header_that_would_be_another_is_an_error(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="header"):
        read_request(head()).accepted(None, [header])


def test_a_response_keeps_the_headers_it_was_given() -> None:
    given: Headers = [(b"Content-Type", b"text/html"), (b"Date", b"today")]
    answer = response(499, given, b"body")

    assert answer.startswith(b"HTTP/1.1 499 \r\nContent-Type: text/html\r\nDate: today\r\n")
    assert answer.endswith(b"connection: close\r\ncontent-length: 4\r\n\r\nbody")
