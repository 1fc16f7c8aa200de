"""Signatures: what botocore signs is believed, and nothing else."""

from __future__ import annotations

import hmac
import string
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.http_api.errors import (
    AccessKeyUnknown,
    ClockSkewed,
    SignatureWrong,
)
from gateway.http_api.raw import RawRequest
from gateway.http_api.sigv4 import SKEW_S, verify
from tests.unit.http_api.signing import (
    KEY_ID,
    SECRET,
    SECRETS,
    complaint,
    header,
    signed,
    signed_at,
    with_authorization,
    with_header,
)

HOST = "https://gateway.example"
METHODS = ["GET", "POST", "DELETE", "PUT", "HEAD"]
UNRESERVED = string.ascii_letters + string.digits + "-_.~"

escapes = st.integers(0, 255).map("%{:02X}".format)


def texts(others: str) -> st.SearchStrategy[str]:
    """Made of unreserved characters, of ``others``, and of percent escapes."""
    return st.lists(st.sampled_from(UNRESERVED + others) | escapes, max_size=12).map("".join)


# All that urllib3 leaves as it is in a path and a query.
segments = texts("!$&'()*+,;=:@") | st.sampled_from([".", "..", ""])
paths = st.lists(segments, max_size=6).map(lambda parts: "/" + "/".join(parts))
queries = st.lists(texts("!$&'()*+,;=:@/?"), max_size=4).map("&".join)
# What http.client takes as a value, with white space of every kind that may be in it.
values = st.text(string.ascii_letters + string.digits + " \t\"',;=:/@[]{}", max_size=20)
names = st.sampled_from(["X-Custom", "x-amz-meta", "Content-Type", "Accept", "Idempotency-Key"])


def verified(request: RawRequest, *, late_s: float = 0.0, secrets: Any = SECRETS) -> str:
    return verify(request, secrets, now_unix_s=signed_at(request) + late_s)


# What botocore signs


@given(st.sampled_from(METHODS), paths, queries, st.binary(max_size=100))
def test_any_request_that_botocore_signs_is_believed(
    method: str, path: str, query: str, body: bytes
) -> None:
    request = signed(method, f"{HOST}{path}?{query}", body=body)

    assert verified(request) == KEY_ID


@given(st.lists(st.tuples(names, values), max_size=6))
def test_any_headers_that_botocore_signs_are_believed(headers: list[tuple[str, str]]) -> None:
    assert verified(signed(headers=headers)) == KEY_ID


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4))
def test_any_parameters_that_botocore_signs_are_believed(params: dict[str, str]) -> None:
    assert verified(signed("GET", f"{HOST}/@connections", params=params, body=b"")) == KEY_ID


@given(
    st.text(string.ascii_letters + string.digits + "_.-", min_size=1),
    st.text(string.printable.strip(), min_size=1),
    st.from_regex(r"[a-z]{2}(-[a-z]{3,9}){1,2}-[1-9]", fullmatch=True),
)
def test_any_access_key_and_any_region_are_believed(key_id: str, secret: str, region: str) -> None:
    request = signed(key_id=key_id, secret=secret, region=region)

    assert verified(request, secrets={**SECRETS, key_id: secret}) == key_id


@pytest.mark.parametrize(
    "host", ["localhost:8000", "127.0.0.1:80", "[::1]:8000", "gateway.example:443"]
)
def test_the_host_is_signed_with_its_port(host: str) -> None:
    request = signed(url=f"http://{host}/@connections/a", headers=[("Host", host)])

    assert verified(request) == KEY_ID


def test_a_session_token_is_signed_and_means_nothing() -> None:
    request = signed(token="token/of+a=session")

    assert b"x-amz-security-token" in header(request, b"authorization")
    assert verified(request) == KEY_ID


def test_a_path_is_encoded_once_more_than_on_the_wire() -> None:
    request = signed(url=f"{HOST}/@connections/a%3D%40")

    assert request.raw_path == b"/@connections/a%3D%40"
    assert verified(request) == KEY_ID
    with pytest.raises(SignatureWrong):
        verified(replace(request, raw_path=b"/@connections/a=@"))


def test_the_hash_of_the_body_may_be_in_a_header_if_it_is_true() -> None:
    headers = [("X-Amz-Content-SHA256", sha256(b"hello").hexdigest())]

    assert verified(signed(headers=headers)) == KEY_ID


def test_white_space_and_the_case_of_names_may_change_on_the_way() -> None:
    request = signed(headers=[("X-Custom", "a b")])
    headers = [
        (name.title(), b"  a  \t b " if name == b"x-custom" else value)
        for name, value in request.headers
    ]

    changed = replace(request, headers=headers)
    assert verify(changed, SECRETS, now_unix_s=signed_at(request)) == KEY_ID


def test_the_method_may_be_in_any_case() -> None:
    assert verified(replace(signed("POST"), method="post")) == KEY_ID


def test_headers_that_are_not_signed_may_be_added_on_the_way() -> None:
    request = signed()
    headers = [*request.headers, (b"x-forwarded-for", b"192.0.2.1"), (b"user-agent", b"\xff")]

    assert verified(replace(request, headers=headers)) == KEY_ID


def test_parts_of_the_authorization_need_no_space_between_them() -> None:
    request = signed()
    dense = header(request, b"authorization").replace(b", ", b",")

    assert (
        verified(replace(request, headers=with_header(request, b"authorization", dense))) == KEY_ID
    )


# What was changed afterwards


@given(paths, paths)
def test_another_path_is_refused(path: str, other: str) -> None:
    right, wrong = signed(url=HOST + path), signed(url=HOST + other)
    assume(signed_at(right) == signed_at(wrong))  # or they differ by that
    # botocore takes /a and /b/../a for the same
    assume(header(right, b"authorization")[-64:] != header(wrong, b"authorization")[-64:])

    with pytest.raises(SignatureWrong):
        verified(replace(right, raw_path=other.encode()))


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"raw_path": b"/@connections/abd"},
        {"raw_path": b"/@connections/abc/"},
        {"raw_path": b"/@connections/%61bc"},
        {"query": b"user=bob"},
        {"query": b"user=ada&worker=1"},
        {"query": b""},
        {"body": b"hello!"},
        {"body": b""},
    ],
    ids=str,
)
def test_another_request_than_was_signed_is_refused(change: dict[str, Any]) -> None:
    request = signed(url=f"{HOST}/@connections/abc?user=ada")
    assert verified(request)

    with pytest.raises(SignatureWrong):
        verified(replace(request, **change))


def test_a_plus_does_not_pass_for_an_encoded_plus() -> None:
    request = signed(url=f"{HOST}/@connections?user=a%2Bb")

    with pytest.raises(SignatureWrong):
        verified(replace(request, query=b"user=a+b"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (b"host", [b"gateway.example:8000"]),
        (b"host", [b"gateway.example", b"other.example"]),
        (b"x-custom", [b"two,one"]),
        (b"x-custom", [b"one"]),
        (b"x-amz-security-token", [b"other"]),
    ],
)
def test_another_header_than_was_signed_is_refused(name: bytes, values: list[bytes]) -> None:
    request = signed(headers=[("X-Custom", "one"), ("X-Custom", "two")], token="token")
    assert verified(request)

    with pytest.raises(SignatureWrong):
        verified(replace(request, headers=with_header(request, name, *values)))


@given(st.integers(0, 63), st.sampled_from("0123456789abcdef"))
def test_a_signature_with_another_digit_is_refused(place: int, digit: str) -> None:
    request = signed()
    signature = header(request, b"authorization")[-64:].decode()
    assume(signature[place] != digit)
    other = signature[:place] + digit + signature[place + 1 :]

    headers = with_authorization(request, signature.encode(), other.encode())
    with pytest.raises(SignatureWrong):
        verified(replace(request, headers=headers))


def test_another_region_than_was_signed_is_refused() -> None:
    request = signed()

    headers = with_authorization(request, b"eu-west-1", b"eu-west-2")
    with pytest.raises(SignatureWrong):
        verified(replace(request, headers=headers))


def test_the_secret_of_another_is_refused() -> None:
    with pytest.raises(SignatureWrong):
        verified(signed(secret=SECRETS["OTHER"]))


@pytest.mark.parametrize("key_id", ["NOBODY", "akid", "AKID."])
def test_an_access_key_that_nobody_has_is_refused(key_id: str) -> None:
    with pytest.raises(AccessKeyUnknown, match="is not known here"):
        verified(signed(key_id=key_id))


def test_a_refusal_tells_neither_the_secret_nor_the_right_signature() -> None:
    request = signed()
    right = header(request, b"authorization")[-64:].decode()

    with pytest.raises(SignatureWrong) as caught:
        verified(replace(request, headers=with_authorization(request, rb"\w{64}", b"0" * 64)))

    assert right not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", counted)

    assert verified(signed()) == KEY_ID
    assert compared == [(64, 64)]


# The clock


@given(st.floats(-SKEW_S, SKEW_S))
def test_a_signature_holds_for_five_minutes_before_and_after(late_s: float) -> None:
    assert verified(signed(), late_s=late_s) == KEY_ID


@given(st.floats(1, 1e9), st.sampled_from([-1, 1]))
def test_a_signature_does_not_hold_any_longer(more_s: float, sign: int) -> None:
    with pytest.raises(ClockSkewed):
        verified(signed(), late_s=sign * (SKEW_S + more_s))


@pytest.mark.parametrize(
    ("late_s", "said"),
    [
        (300.5, "x-amz-date is 301 s behind the gateway's clock, 300 s are allowed"),
        (-3600, "x-amz-date is 3600 s ahead of the gateway's clock, 300 s are allowed"),
    ],
)
def test_a_wrong_clock_is_told_by_how_much(late_s: float, said: str) -> None:
    with pytest.raises(ClockSkewed) as caught:
        verified(signed(), late_s=late_s)

    assert str(caught.value) == said


@pytest.mark.parametrize(
    "stamp",
    [
        b"",
        b"now",
        b"20260131",
        b"20260131T235959",
        b"2026-01-31T23:59:59Z",
        b"20260231T000000Z",
        b"20260131T250000Z",
        b"00000101T000000Z",
        b"\xb2\xb0260131T235959Z",
    ],
)
def test_a_date_that_is_none_is_told(stamp: bytes) -> None:
    request = signed()

    message = complaint(
        replace(request, headers=with_header(request, b"x-amz-date", stamp)), at=request
    )

    assert message == "x-amz-date is not a time like 20260131T235959Z"


def test_two_dates_are_none() -> None:
    request = signed()
    date = header(request, b"x-amz-date")

    assert "x-amz-date is not a time" in complaint(
        replace(request, headers=with_header(request, b"x-amz-date", date, date)), at=request
    )


def test_the_day_of_the_scope_is_that_of_the_date() -> None:
    request = signed()

    headers = with_authorization(request, rb"/\d{8}/", b"/20200101/")
    assert complaint(replace(request, headers=headers)) == (
        "the day of the credential scope is not that of x-amz-date"
    )
