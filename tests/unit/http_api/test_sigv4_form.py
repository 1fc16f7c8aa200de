"""Requests that are not signed as they must be: each is told what is wrong, none raises more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http_api.errors import SignatureRefused, SignatureWrong
from gateway.http_api.raw import RawRequest
from gateway.http_api.sigv4 import is_signed, verify
from tests.unit.http_api.signing import (
    SECRETS,
    complaint,
    header,
    signed,
    signed_at,
    with_authorization,
    with_header,
)


@pytest.mark.parametrize("service", ["s3", "apigateway", "execute-api2"])
def test_a_signature_for_another_service_is_refused(service: str) -> None:
    assert complaint(signed(service=service)) == (
        "the credential scope is not one of the service execute-api"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"AWS4-HMAC-SHA256", b"AWS4-ECDSA-P256-SHA256"),
        (b"aws4_request", b"aws5_request"),
        (b"Credential=", b""),
        (b"SignedHeaders=[^,]*, ", b""),
        (b"Signature=", b"Signature=0"),
        (b"AKID/", b""),
        (b"$", b", Signature=00"),
    ],
)
def test_an_authorization_of_another_form_is_refused(old: bytes, new: bytes) -> None:
    request = signed()

    message = complaint(replace(request, headers=with_authorization(request, old, new)))

    assert message.startswith("Authorization is not AWS4-HMAC-SHA256 Credential=")


def test_two_authorizations_are_refused() -> None:
    request = signed()
    value = header(request, b"authorization")
    headers = with_header(request, b"authorization", value, value)

    assert complaint(replace(request, headers=headers)).startswith("Authorization is not ")


def test_a_request_without_an_authorization_is_refused() -> None:
    request = signed()
    headers = with_header(request, b"authorization")

    assert complaint(replace(request, headers=headers)) == "there is no Authorization header"


def test_a_presigned_url_is_refused_and_told_so() -> None:
    request = signed()
    presigned = replace(
        request,
        headers=with_header(request, b"authorization"),
        query=b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00",
    )

    assert is_signed(presigned)
    assert complaint(presigned).endswith("a presigned URL is not taken")


@pytest.mark.parametrize("name", [b"host", b"x-amz-date"])
def test_a_header_that_must_be_signed_but_is_not_is_named(name: bytes) -> None:
    request = signed(headers=[("A", "first"), ("Z", "last")])
    headers = with_authorization(request, name + b";", b"")

    assert complaint(replace(request, headers=headers)) == (
        f"the header {name.decode()} is not signed"
    )


def test_a_signed_header_that_is_not_there_is_told() -> None:
    request = signed(headers=[("X-Custom", "a")])

    message = complaint(replace(request, headers=with_header(request, b"x-custom")))

    assert message == "a header that SignedHeaders names is not there"


@pytest.mark.parametrize(
    "listed", [b"x-amz-date;host", b"host;host;x-amz-date", b"Host;x-amz-date"]
)
def test_signed_headers_are_in_order(listed: bytes) -> None:
    request = signed()
    headers = with_authorization(request, b"host;x-amz-date", listed)

    assert complaint(replace(request, headers=headers)) == (
        "SignedHeaders is not sorted, in lower case, each name once"
    )


@pytest.mark.parametrize(
    "claimed", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 64]
)
def test_a_payload_that_is_not_signed_is_refused_though_the_signature_fits(claimed: str) -> None:
    request = signed(headers=[("X-Amz-Content-SHA256", claimed)])

    assert complaint(request) == "x-amz-content-sha256 is not the SHA-256 of the body"


# Anything at all


@pytest.mark.parametrize(
    ("name", "value", "claims"),
    [
        (b"authorization", b"AWS4-HMAC-SHA256 ", True),
        (b"Authorization", b" aws4-anything", True),
        (b"authorization", b"Bearer AWS4-", False),
        (b"x-api-key", b"AWS4-HMAC-SHA256", False),
    ],
)
def test_a_request_claims_to_be_signed_by_its_authorization(
    name: bytes, value: bytes, *, claims: bool
) -> None:
    request = RawRequest(method="GET", raw_path=b"/", query=b"", headers=[(name, value)], body=b"")

    assert is_signed(request) is claims


pieces = st.sampled_from(
    [
        *(b"AWS4-HMAC-SHA256", b" ", b"Credential=", b"AKID", b"/20260131/", b"eu-west-1", b"/"),
        *(b"execute-api", b"/aws4_request", b", ", b",", b"SignedHeaders=", b"host;x-amz-date"),
        *(b";", b"Signature=", b"0" * 64, b"20260131T000000Z"),
    ]
)
junk = st.lists(pieces | st.binary(max_size=4), max_size=14).map(b"".join)
junk_names = st.sampled_from([b"authorization", b"host", b"x-amz-date", b"x-amz-content-sha256"])


@given(st.lists(st.tuples(junk_names, junk), max_size=6), st.binary(), st.binary(), st.text())
def test_nothing_but_a_refusal_is_raised(
    headers: list[tuple[bytes, bytes]], raw_path: bytes, query: bytes, method: str
) -> None:
    request = RawRequest(method=method, raw_path=raw_path, query=query, headers=headers, body=b"")

    with pytest.raises(SignatureRefused):
        verify(request, SECRETS, now_unix_s=1769817600.0)


@given(
    st.text(),
    st.binary(),
    st.binary(),
    st.binary(),
    st.lists(st.tuples(st.just(b"x"), st.binary())),
)
def test_nothing_but_a_refusal_is_raised_of_a_request_that_is_well_formed(
    method: str, raw_path: bytes, query: bytes, body: bytes, more: list[tuple[bytes, bytes]]
) -> None:
    request = signed(headers=[("X", "a")])
    headers = [*with_header(request, b"x"), (b"x", b"a signed one"), *more]
    changed = RawRequest(method=method, raw_path=raw_path, query=query, headers=headers, body=body)

    with pytest.raises(SignatureWrong):
        verify(changed, SECRETS, now_unix_s=signed_at(request))


def test_a_method_that_cannot_be_encoded_raises_nothing_else() -> None:
    request = signed()

    with pytest.raises(SignatureWrong):
        verify(replace(request, method="\ud800"), SECRETS, now_unix_s=signed_at(request))
