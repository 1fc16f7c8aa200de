"""API keys: in either header, any of several, whatever bytes are sent."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http_api.keys import ApiKeys, presented


@pytest.mark.parametrize("key", [b"old", b"new"])
def test_each_of_several_keys_is_allowed(key: bytes) -> None:
    assert ApiKeys(["old", "new"]).allow(key)


@pytest.mark.parametrize("key", [b"", b"ol", b"oldd", b"OLD", b"old\0", b"old,new", b"\xff\xfe"])
def test_what_is_no_key_is_not_allowed(key: bytes) -> None:
    assert not ApiKeys(["old", "new"]).allow(key)


def test_without_keys_nothing_is_allowed() -> None:
    assert not ApiKeys([])
    assert not ApiKeys([]).allow(b"")


@given(st.binary(), st.lists(st.text("abc", min_size=1), max_size=4))
def test_a_key_is_allowed_exactly_when_it_is_one_of_them(key: bytes, known: list[str]) -> None:
    assert ApiKeys(known).allow(key) == (key in [one.encode() for one in known])


@pytest.mark.parametrize("key", [b"first", b"last", b"none"])
def test_every_key_is_compared_also_behind_the_one_that_fits(
    monkeypatch: pytest.MonkeyPatch, key: bytes
) -> None:
    compared = []
    compare_digest = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return compare_digest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)

    ApiKeys(["first", "middle", "last"]).allow(key)

    assert len(compared) == 3


def test_keys_are_not_kept_as_they_are() -> None:
    assert "hidden" not in repr(vars(ApiKeys(["hidden"])))


# Headers


@pytest.mark.parametrize(
    "header",
    [
        (b"x-api-key", b"KEY"),
        (b"X-API-Key", b" KEY "),
        (b"authorization", b"Bearer KEY"),
        (b"Authorization", b"bearer  KEY "),
        (b"authorization", b"BEARER KEY"),
    ],
)
def test_a_key_is_found_in_either_header(header: tuple[bytes, bytes]) -> None:
    assert list(presented([(b"host", b"a"), header])) == [b"KEY"]


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Basic KEY"),
        (b"authorization", b"KEY"),
        (b"authorization", b"BearerKEY"),
        (b"authorization", b""),
        (b"cookie", b"x-api-key=KEY"),
        (b"x-api-keys", b"KEY"),
    ],
)
def test_other_headers_hold_no_key(header: tuple[bytes, bytes]) -> None:
    assert list(presented([header])) == []


def test_every_key_that_is_shown_is_found() -> None:
    headers = [(b"x-api-key", b"a"), (b"authorization", b"Bearer b"), (b"x-api-key", b"c")]

    assert list(presented(headers)) == [b"a", b"b", b"c"]


@given(st.lists(st.tuples(st.sampled_from([b"x-api-key", b"authorization"]), st.binary())))
def test_no_header_raises(headers: list[tuple[bytes, bytes]]) -> None:
    assert not any(map(ApiKeys(["a key that is not drawn"]).allow, presented(headers)))
