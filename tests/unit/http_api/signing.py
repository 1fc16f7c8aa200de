"""Requests as botocore signs them: the oracle of what is a signature."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.http_api.errors import SignatureMalformed
from gateway.http_api.raw import RawRequest
from gateway.http_api.sigv4 import verify

KEY_ID = "AKID"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SECRETS = {KEY_ID: SECRET, "OTHER": "another secret"}


def signed(
    method: str = "POST",
    url: str = "https://gateway.example/@connections/abc",
    *,
    headers: Sequence[tuple[str, str]] = (),
    params: Mapping[str, str] | None = None,
    body: bytes = b"hello",
    key_id: str = KEY_ID,
    secret: str = SECRET,
    token: str | None = None,
    region: str = "eu-west-1",
    service: str = "execute-api",
) -> RawRequest:
    """What a server gets of a request that botocore has signed just now."""
    request = AWSRequest(method, url, data=body, params=params)
    for name, value in headers:
        request.headers.add_header(name, value)
    SigV4Auth(Credentials(key_id, secret, token), service, region).add_auth(request)
    sent = urlsplit(str(request.prepare().url))
    host = [] if "host" in request.headers else [("Host", urlsplit(url).netloc)]
    return RawRequest(
        method=method,
        raw_path=sent.path.encode(),
        query=sent.query.encode(),
        headers=[(n.lower().encode(), v.encode()) for n, v in [*host, *request.headers.items()]],
        body=body,
    )


def header(request: RawRequest, name: bytes) -> bytes:
    return dict(request.headers)[name]


def signed_at(request: RawRequest) -> float:
    """When a request was signed, in Unix seconds."""
    stamp = header(request, b"x-amz-date").decode()
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def with_header(request: RawRequest, name: bytes, *values: bytes) -> list[tuple[bytes, bytes]]:
    """The headers with other values of one of them; without values it is left out."""
    rest = [(n, v) for n, v in request.headers if n != name]
    return [*rest, *((name, value) for value in values)]


def with_authorization(request: RawRequest, old: bytes, new: bytes) -> list[tuple[bytes, bytes]]:
    """The headers with a part of ``Authorization`` replaced; ``old`` is a regular expression."""
    value, changes = re.subn(old, new, header(request, b"authorization"))
    assert changes == 1
    return with_header(request, b"authorization", value)


def complaint(request: RawRequest, *, at: RawRequest | None = None) -> str:
    """What is said of a request that is not signed as it must be, at the time it was signed."""
    with pytest.raises(SignatureMalformed) as caught:
        verify(request, SECRETS, now_unix_s=signed_at(at or request))
    return str(caught.value)
