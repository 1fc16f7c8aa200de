"""AWS Signature Version 4: what an unmodified AWS SDK signs is verified.

Of what a signature may look like (docs.aws.amazon.com, "Create a signed AWS API request"), this
takes what SDKs send to the service ``execute-api``: the ``Authorization`` header, and beside it
``x-amz-date``. Presigned URLs, a ``Date`` in place of ``x-amz-date``, SigV4A, and unsigned or
chunked payloads are refused. ``x-amz-content-sha256`` may be there if it is true.

Proxies must leave alone what is signed: the path as it is on the wire, the query, the body, and the
headers, of which ``Host`` is one. With nginx that is ``proxy_set_header Host $http_host`` and a
``proxy_pass`` without a path. Headers that are not signed prove nothing: SDKs sign neither
``amz-sdk-invocation-id`` nor anything that callers do not name.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gateway.http_api.errors import (
    AccessKeyUnknown,
    ClockSkewed,
    SignatureMalformed,
    SignatureWrong,
)
from gateway.http_api.raw import Headers, RawRequest

SERVICE: Final = b"execute-api"
SKEW_S: Final = 300.0

_ALGORITHM: Final = b"AWS4-HMAC-SHA256"
_AUTHORIZATION: Final = re.compile(
    _ALGORITHM + rb"\s+"
    rb"Credential=(?P<key_id>[\w.-]+)/(?P<day>\d{8})/(?P<region>[\w-]+)/(?P<service>[\w-]+)"
    rb"/aws4_request\s*,\s*"
    rb"SignedHeaders=(?P<names>[!-+.-:<-~-]+(;[!-+.-:<-~-]+)*)\s*,\s*"
    rb"Signature=(?P<signature>[0-9a-f]{64})"
)
_STAMP: Final = re.compile(rb"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z")
_MUST_BE_SIGNED: Final = (b"host", b"x-amz-date")
_SCOPE_END: Final = (SERVICE, b"aws4_request")
_PRESIGNED: Final = b"X-Amz-Signature="


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the ``Authorization`` header says."""

    key_id: str
    day: bytes
    region: bytes
    names: tuple[bytes, ...]
    signature: bytes


def is_signed(request: RawRequest) -> bool:
    """Whether a request claims to be signed, well or badly."""
    return _PRESIGNED in request.query or any(
        name.lower() == b"authorization" and value.lstrip()[:5].upper() == b"AWS4-"
        for name, value in request.headers
    )


def verify(request: RawRequest, secrets: Mapping[str, str], *, now_unix_s: float) -> str:
    """The access key id that signed this request.

    Args:
        request: With its whole body: a signature is of that too.
        secrets: Secret by access key id. Both are ASCII.
        now_unix_s: The time of day: a signature holds for ``SKEW_S`` before and after it was made.

    Raises:
        SignatureRefused: One of its kinds says why; there is no other error for any request.
    """
    headers, claim = _checked_claim(request, secrets, now_unix_s)
    payload = _sha256(request.body)
    if headers.get(b"x-amz-content-sha256", payload) != payload:
        raise SignatureMalformed("x-amz-content-sha256 is not the SHA-256 of the body")
    signing_key = _signing_key(secrets[claim.key_id], claim)
    for query in _canonical_queries(request.query):
        content = _canonical_request(request, query, headers, claim, payload)
        signature = _hmac(signing_key, _text_to_sign(content, headers, claim)).hex()
        if hmac.compare_digest(signature.encode(), claim.signature):
            return claim.key_id
    raise SignatureWrong


def check_head(request: RawRequest, secrets: Mapping[str, str], *, now_unix_s: float) -> None:
    """What can be refused before the body is read.

    Raises:
        SignatureRefused: As ``verify`` would.
    """
    _checked_claim(request, secrets, now_unix_s)


def _checked_claim(
    request: RawRequest, secrets: Mapping[str, str], now_unix_s: float
) -> tuple[dict[bytes, bytes], _Claim]:
    headers = _canonical_headers(request.headers)
    claim = _claim(request, headers)
    _check_time(headers[b"x-amz-date"], claim.day, now_unix_s)
    if claim.key_id not in secrets:
        raise AccessKeyUnknown
    return headers, claim


def _canonical_request(
    request: RawRequest, query: bytes, headers: Mapping[bytes, bytes], claim: _Claim, payload: bytes
) -> bytes:
    lines = (
        request.method.upper().encode("utf-8", "backslashreplace"),
        _canonical_path(request.raw_path),
        query,
        *(name + b":" + headers[name] for name in claim.names),
        b"",
        b";".join(claim.names),
        payload,
    )
    return b"\n".join(lines)


def _text_to_sign(content: bytes, headers: Mapping[bytes, bytes], claim: _Claim) -> bytes:
    scope = b"/".join((claim.day, claim.region, *_SCOPE_END))
    return b"\n".join((_ALGORITHM, headers[b"x-amz-date"], scope, _sha256(content)))


def _canonical_headers(headers: Headers) -> dict[bytes, bytes]:
    """By name in lower case; those of one name joined, white space made one space."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(b" ".join(value.split()))
    return {name: b",".join(parts) for name, parts in values.items()}


def _claim(request: RawRequest, headers: Mapping[bytes, bytes]) -> _Claim:
    if b"authorization" not in headers:
        presigned = ": a presigned URL is not taken" if _PRESIGNED in request.query else ""
        raise SignatureMalformed(f"there is no Authorization header{presigned}")
    found = _AUTHORIZATION.fullmatch(headers[b"authorization"])
    if found is None:
        raise SignatureMalformed(
            "Authorization is not AWS4-HMAC-SHA256 Credential=ID/DAY/REGION/SERVICE/aws4_request, "
            "SignedHeaders=NAMES, Signature=HEX"
        )
    if found["service"] != SERVICE:
        raise SignatureMalformed("the credential scope is not one of the service execute-api")
    names = tuple(found["names"].split(b";"))
    if list(names) != sorted({name.lower() for name in names}):
        raise SignatureMalformed("SignedHeaders is not sorted, in lower case, each name once")
    for name in _MUST_BE_SIGNED:
        if name not in names:
            raise SignatureMalformed(f"the header {name.decode()} is not signed")
    if not headers.keys() >= set(names):
        raise SignatureMalformed("a header that SignedHeaders names is not there")
    key_id = found["key_id"].decode()
    return _Claim(key_id, found["day"], found["region"], names, found["signature"])


def _check_time(stamp: bytes, day: bytes, now_unix_s: float) -> None:
    signed_unix_s = _unix_s(stamp)
    if signed_unix_s is None:
        raise SignatureMalformed("x-amz-date is not a time like 20260131T235959Z")
    if day != stamp[:8]:
        raise SignatureMalformed("the day of the credential scope is not that of x-amz-date")
    skew_s = now_unix_s - signed_unix_s
    if abs(skew_s) > SKEW_S:
        raise ClockSkewed(skew_s=skew_s, limit_s=SKEW_S)


def _unix_s(stamp: bytes) -> float | None:
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:  # the 31st of February
        return None


def _signing_key(secret: str, claim: _Claim) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (claim.day, claim.region, *_SCOPE_END):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _sha256(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()


def _canonical_path(raw_path: bytes) -> bytes:
    """Without dots and empty parts, and encoded once more: ``%40`` becomes ``%2540``.

    So it is for every service but s3. Dots that are encoded stay as they are.
    """
    parts: list[bytes] = []
    for part in raw_path.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    begin = b"/" if raw_path[:1] in (b"/", b"") else b""
    end = b"/" if raw_path.endswith(b"/") and parts else b""
    return quote_from_bytes(begin + b"/".join(parts) + end, safe="/~").encode()


def _canonical_queries(query: bytes) -> Iterator[bytes]:
    """What may have been signed of a query: it as it came, and it decoded and encoded anew.

    The second is the specification's. The first is what botocore signs of a URL that holds a query,
    and differs where somebody left ``a@b`` as it is, which the specification would have encoded.
    """
    pairs = [pair.partition(b"=")[::2] for pair in query.split(b"&")] if query else []
    came = _joined(pairs)
    yield came
    anew = _joined([(_encoded(name), _encoded(value)) for name, value in pairs])
    if anew != came:
        yield anew


def _joined(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b"&".join(name + b"=" + value for name, value in sorted(pairs))


def _encoded(text: bytes) -> bytes:
    # A plus is a space to whoever reads the query then: it must not pass for an encoded plus.
    return quote_from_bytes(unquote_to_bytes(text.replace(b"+", b" ")), safe="-_.~").encode()
