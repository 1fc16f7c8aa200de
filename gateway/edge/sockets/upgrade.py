"""The handshake of RFC 6455, as bytes: a request that was read, the responses to it."""

from __future__ import annotations

import binascii
import email.utils
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha1
from http import HTTPStatus
from typing import Final

Headers = list[tuple[bytes, bytes]]

MAX_SUBPROTOCOLS: Final = 32  # offered by one client; each is an object for as long as it stays
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(rb"[^\0\r\n]*")
_BODY: Final = (b"content-length", b"transfer-encoding")
_LOOKED_AT: Final = (
    b"host", b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol", *_BODY,
)  # fmt: skip
_OURS: Final = frozenset(
    {b"upgrade", b"connection", b"sec-websocket-accept", b"sec-websocket-extensions"}
)


class Refused(Exception):
    """Not a handshake that can be accepted."""

    def __init__(self, status: HTTPStatus, text: str, headers: Headers | None = None) -> None:
        super().__init__(text)
        self.response = response(status, headers or [], text.encode())


@dataclass(frozen=True, slots=True)
class Upgrade:
    """One request for a WebSocket. Header names are in lower case."""

    target: bytes
    headers: Headers
    subprotocols: list[str]
    key: bytes

    def accepted(self, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The 101 with further headers."""
        accept = b64encode(sha1(self.key + _GUID, usedforsecurity=False).digest())
        pieces = [
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            *_line(b"Sec-WebSocket-Accept", accept),
        ]
        if subprotocol is not None:
            pieces += _line(b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1"))
        for name, value in headers:
            if name.lower() in _OURS:
                raise ValueError(f"the header {name.decode()} is not the application's")
            pieces += _line(name, value)
        pieces.append(b"\r\n")
        return b"".join(pieces)


def read_request(head: bytes) -> Upgrade:
    """Read one head, up to and with the empty line, that an HTTP parser has found valid.

    Raises:
        Refused: It does not ask for a WebSocket in the way of section 4.2.1.
    """
    request_line, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    method, _, rest = request_line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    headers: Headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" \t")))
    looked_at: dict[bytes, list[bytes]] = {name: [] for name in _LOOKED_AT}
    for name, value in headers:
        if name in looked_at:
            looked_at[name].append(value)
    _check(method, version, looked_at)
    offered = b",".join(looked_at[b"sec-websocket-protocol"])
    if offered.count(b",") >= MAX_SUBPROTOCOLS:
        raise Refused(HTTPStatus.BAD_REQUEST, "too many subprotocols offered")
    tokens = [token.strip().decode("latin-1") for token in offered.split(b",")]
    [key] = looked_at[b"sec-websocket-key"]
    return Upgrade(target, headers, [token for token in tokens if token], key)


def _check(method: bytes, version: bytes, headers: Mapping[bytes, list[bytes]]) -> None:
    if method != b"GET":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "a handshake is a GET", [(b"Allow", b"GET")])
    if version != b"HTTP/1.1":
        raise Refused(HTTPStatus.BAD_REQUEST, "a handshake is made in HTTP/1.1")
    if len(headers[b"host"]) != 1:
        raise Refused(HTTPStatus.BAD_REQUEST, "a handshake has exactly one Host header")
    if any(value != b"0" for name in _BODY for value in headers[name]):
        # Whoever stands before us may take for a body what we would take for frames.
        raise Refused(HTTPStatus.BAD_REQUEST, "a handshake has no body")
    if headers[b"sec-websocket-version"] != [b"13"]:
        supported = [(b"Sec-WebSocket-Version", b"13"), (b"Upgrade", b"websocket")]
        raise Refused(HTTPStatus.UPGRADE_REQUIRED, "the WebSocket version is 13", supported)
    keys = headers[b"sec-websocket-key"]
    if len(keys) != 1 or not _is_key(keys[0]):
        raise Refused(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64")


def response(status: int, headers: Headers, body: bytes) -> bytes:
    """A whole HTTP response, after which the connection is closed."""
    given = {name.lower() for name, _ in headers}
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    pieces = [b"HTTP/1.1 %d %s\r\n" % (status, phrase.encode())]
    for name, value in headers:
        pieces += _line(name, value)
    for name, value in (
        (b"date", email.utils.formatdate(usegmt=True).encode()),
        (b"connection", b"close"),
        (b"content-length", b"%d" % len(body)),
        (b"content-type", b"text/plain; charset=utf-8"),
    ):
        if name not in given:
            pieces += _line(name, value)
    pieces += (b"\r\n", body)
    return b"".join(pieces)


def _is_key(key: bytes) -> bool:
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except binascii.Error:
        return False


def _line(name: bytes, value: bytes) -> tuple[bytes, ...]:
    # A line break in either would be another header, or the end of the head.
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError(f"not a header: {name!r}")
    return name, b": ", value, b"\r\n"
