"""Who is let in, and what the others are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.http_api.credentials import (
    KEY_FITS,
    MISSING,
    NONE_CONFIGURED,
    WRONG_KEY,
    Credentials,
    Verdict,
)
from gateway.http_api.raw import RawRequest
from tests.unit.http_api.signing import (
    KEY_ID,
    SECRET,
    SECRETS,
    signed,
    signed_at,
    with_authorization,
    with_header,
)

BOTH = Credentials(("old", "new"), SECRETS)


def asked(*headers: tuple[bytes, bytes], query: bytes = b"") -> RawRequest:
    return RawRequest(
        method="GET", raw_path=b"/@connections", query=query, headers=headers, body=b""
    )


def verdict(
    request: RawRequest, credentials: Credentials = BOTH, *, now_unix_s: float = 0.0
) -> Verdict:
    return credentials.allows(request, now_unix_s=now_unix_s)


# By the head


@pytest.mark.parametrize(
    ("headers", "decided"),
    [
        (((b"x-api-key", b"new"),), KEY_FITS),
        (((b"x-api-key", b"other"),), WRONG_KEY),
        ((), MISSING),
        (((b"authorization", b"AWS4-x"), (b"x-api-key", b"old")), KEY_FITS),
    ],
)
def test_what_has_no_signature_is_decided_by_its_head(
    headers: tuple[tuple[bytes, bytes], ...], decided: Verdict
) -> None:
    """Once: what it costs to compare keys is not paid again when the body has come."""
    assert BOTH.by_head(asked(*headers), now_unix_s=0.0) == decided


def test_what_is_signed_is_decided_once_its_body_is_there() -> None:
    request = signed(body=b"body")
    head = replace(request, body=b"")

    assert BOTH.by_head(head, now_unix_s=signed_at(request)) is None
    assert not verdict(head, now_unix_s=signed_at(request)).allowed
    assert verdict(request, now_unix_s=signed_at(request)).allowed


# Keys


@pytest.mark.parametrize(
    "header",
    [(b"x-api-key", b"old"), (b"x-api-key", b"new"), (b"authorization", b"Bearer new")],
)
def test_a_key_is_let_in(header: tuple[bytes, bytes]) -> None:
    assert verdict(asked(header)) is KEY_FITS
    assert KEY_FITS.allowed


@pytest.mark.parametrize(
    "header", [(b"x-api-key", b"other"), (b"x-api-key", b""), (b"authorization", b"Bearer \xff")]
)
def test_a_wrong_key_is_401(header: tuple[bytes, bytes]) -> None:
    assert verdict(asked(header)) is WRONG_KEY
    assert (WRONG_KEY.allowed, WRONG_KEY.status) == (False, 401)


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"Basic bmV3")]])
def test_no_key_is_401(headers: list[tuple[bytes, bytes]]) -> None:
    assert verdict(asked(*headers)) is MISSING
    assert (MISSING.allowed, MISSING.status) == (False, 401)


@pytest.mark.parametrize("refused", [WRONG_KEY, MISSING])
def test_a_401_says_how_to_show_a_key(refused: Verdict) -> None:
    assert refused.challenge == "Bearer"


def test_one_good_key_is_enough() -> None:
    headers = [(b"authorization", b"Bearer for-the-proxy"), (b"x-api-key", b"new")]

    assert verdict(asked(*headers)).allowed


def test_without_credentials_nobody_is_let_in() -> None:
    nobody = Credentials()
    request = signed()

    assert not nobody
    assert verdict(asked((b"x-api-key", b"")), nobody) is NONE_CONFIGURED
    assert verdict(request, nobody, now_unix_s=signed_at(request)) is NONE_CONFIGURED
    assert (NONE_CONFIGURED.allowed, NONE_CONFIGURED.status) == (False, 403)


# Signatures


def test_a_signature_is_let_in_and_tells_by_whom() -> None:
    request = signed()

    seen = verdict(request, now_unix_s=signed_at(request))

    assert (seen.allowed, seen.reason, seen.access_key_id) == (True, "signature", KEY_ID)


def test_a_signature_needs_no_keys_and_keys_need_no_signature() -> None:
    request = signed()

    assert verdict(request, Credentials((), SECRETS), now_unix_s=signed_at(request)).allowed
    assert verdict(asked((b"x-api-key", b"a")), Credentials(("a",))).allowed


@pytest.mark.parametrize(
    ("late_s", "changed", "reason"),
    [
        (301.0, lambda request: request, "clock_skewed"),
        (0.0, lambda request: replace(request, body=b"other"), "signature_wrong"),
        (
            0.0,
            lambda request: replace(request, headers=with_authorization(request, b"AKID", b"NO")),
            "access_key_unknown",
        ),
        (
            0.0,
            lambda request: replace(request, headers=with_authorization(request, b"host;", b"")),
            "signature_malformed",
        ),
    ],
    ids=["late", "changed", "unknown", "malformed"],
)
def test_a_signature_that_does_not_hold_is_403(
    late_s: float, changed: Callable[[RawRequest], RawRequest], reason: str
) -> None:
    request = signed()

    seen = verdict(changed(request), now_unix_s=signed_at(request) + late_s)

    assert (seen.allowed, seen.status, seen.reason) == (False, 403, reason)
    assert seen.text
    assert seen.access_key_id is None


def test_a_presigned_url_is_told_that_it_is_not_taken() -> None:
    assert "presigned" in verdict(asked(query=b"X-Amz-Signature=00")).text


def test_a_key_beside_a_signature_that_does_not_hold_is_enough() -> None:
    request = signed(secret="other")

    seen = verdict(
        replace(request, headers=with_header(request, b"x-api-key", b"new")),
        now_unix_s=signed_at(request),
    )

    assert seen is KEY_FITS


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"x-api-key", b"host", b"x-amz-date"]),
            st.binary(max_size=8) | st.sampled_from([b"AWS4-HMAC-SHA256 x", b"Bearer x"]),
        )
    ),
    st.binary(),
)
def test_whatever_is_sent_gets_a_verdict(headers: list[tuple[bytes, bytes]], query: bytes) -> None:
    assert not verdict(asked(*headers, query=query)).allowed


# boto3, over a real connection


class _Server(BaseHTTPRequestHandler):
    """Answers as the connection API does to a POST, once ``Credentials`` has decided."""

    credentials = BOTH
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        path, _, query = self.path.partition("?")
        request = RawRequest(
            method=self.command,
            raw_path=path.encode("latin-1"),
            query=query.encode("latin-1"),
            headers=[(n.encode("latin-1"), v.encode("latin-1")) for n, v in self.headers.items()],
            body=self.rfile.read(int(self.headers["content-length"] or 0)),
        )
        seen = self.credentials.allows(request, now_unix_s=time.time())
        self.send_response(seen.status)
        if not seen.allowed:
            self.send_header("x-amzn-ErrorType", seen.error_type)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_DELETE = do_POST  # noqa: N815 (names of the base)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name in the base)
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a server that asks ``BOTH``."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # else boto3 would go by one of the environment
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def boto(address: str, secret: str = SECRET, **more: Any) -> Any:
    """As in the AWS documentation: nothing of it is ours."""
    return closing(
        boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=address,
            region_name="eu-west-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=secret,
            **more,
        )
    )


@pytest.mark.parametrize(
    "connection_id",
    ["L0SM9cOFvHcCIhw=", "a@b", "a b", "50%", "%41", "ü", "a/b", "a//b", "~.-_", "*'()!"],
)
def test_boto3_is_let_in_whatever_the_id(address: str, connection_id: str) -> None:
    with boto(address) as client:
        answer = client.post_to_connection(ConnectionId=connection_id, Data=b"hello")

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("call", ["get_connection", "delete_connection"])
def test_boto3_is_let_in_for_every_call(address: str, call: str) -> None:
    with boto(address) as client:
        answer = getattr(client, call)(ConnectionId="abc")

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("prefix", ["/", "/stage", "/stage/", "/a%20b/%7Ec"])
def test_boto3_is_let_in_below_a_prefix(address: str, prefix: str) -> None:
    with boto(address + prefix) as client:
        answer = client.post_to_connection(ConnectionId="abc", Data=b"hello")

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_boto3_is_let_in_with_a_session_token(address: str) -> None:
    with boto(address, aws_session_token="token") as client:
        answer = client.post_to_connection(ConnectionId="abc", Data="héllo".encode())

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize(
    "more",
    [{"secret": "other"}, {"config": Config(signature_version=UNSIGNED)}],
    ids=["another secret", "no signature"],
)
def test_boto3_raises_its_own_exception_for_whoever_may_not(
    address: str, more: dict[str, Any]
) -> None:
    with boto(address, **more) as client, pytest.raises(client.exceptions.ForbiddenException):
        client.post_to_connection(ConnectionId="abc", Data=b"hello")


# From settings


def credentials_of(keys: str = "", file: str = "", access_keys: str = "") -> Credentials:
    return Credentials.of(api_keys_text=keys, api_keys_file=file, access_keys_text=access_keys)


def test_settings_that_are_empty_let_nobody_in() -> None:
    assert not credentials_of()


def test_keys_of_the_setting_and_of_the_file_are_both_let_in(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the shop\ntwo\n")
    credentials = credentials_of("one", str(file))

    assert verdict(asked((b"x-api-key", b"one")), credentials).allowed
    assert verdict(asked((b"x-api-key", b"two")), credentials).allowed


def test_access_keys_of_the_setting_are_let_in() -> None:
    request = signed()

    seen = verdict(
        request, credentials_of(access_keys=f"{KEY_ID}:{SECRET}"), now_unix_s=signed_at(request)
    )

    assert seen.access_key_id == KEY_ID


def test_a_file_that_is_not_there_names_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "none"

    with pytest.raises(ConfigError) as caught:
        credentials_of(file=str(file))

    assert str(caught.value) == f"GATEWAY_API_KEYS_FILE={file}: No such file or directory"


def test_credentials_do_not_show_what_they_hold() -> None:
    assert "new" not in repr(BOTH)
    assert SECRET not in repr(BOTH)
