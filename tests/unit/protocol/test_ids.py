"""Names of workers and connections: their form, and who owns what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.ids import WorkerId, connection_id, is_worker_id, owner_of, worker_id

TEN_BYTES = st.binary(min_size=10, max_size=10)
SIXTEEN_BYTES = st.binary(min_size=16, max_size=16)
OWNER = WorkerId("a" * 16)


@given(TEN_BYTES)
def test_a_worker_id_has_the_form_that_becomes_a_key(random: bytes) -> None:
    assert is_worker_id(worker_id(random))


@given(TEN_BYTES, TEN_BYTES)
def test_different_bytes_make_different_worker_ids(one: bytes, other: bytes) -> None:
    assert (worker_id(one) == worker_id(other)) == (one == other)


@given(SIXTEEN_BYTES, SIXTEEN_BYTES)
def test_different_bytes_make_different_connection_ids(one: bytes, other: bytes) -> None:
    assert (connection_id(OWNER, one) == connection_id(OWNER, other)) == (one == other)


@given(TEN_BYTES, SIXTEEN_BYTES)
def test_a_connection_id_says_who_owns_it(worker: bytes, random: bytes) -> None:
    owner = worker_id(worker)

    assert owner_of(connection_id(owner, random)) == owner


@pytest.mark.parametrize("length", [0, 9, 11])
def test_a_worker_id_takes_ten_bytes(length: int) -> None:
    with pytest.raises(ValueError, match=f"takes 10 bytes, not {length}"):
        worker_id(bytes(length))


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_connection_id_takes_sixteen_bytes(length: int) -> None:
    with pytest.raises(ValueError, match=f"takes 16 bytes, not {length}"):
        connection_id(OWNER, bytes(length))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 15,
        "a" * 17,
        "A" * 16,
        "a" * 15 + "-",
        "a" * 15 + "ä",
        "a" * 15 + "٣",
        "a" * 16 + "\n",
        "{" + "a" * 14 + "}",
    ],
)
def test_other_texts_are_no_worker_ids(text: str) -> None:
    assert not is_worker_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 16,
        "a" * 16 + ".",
        "a" * 16 + "." + "b" * 21,
        "a" * 16 + "." + "b" * 23,
        "a" * 16 + ":" + "b" * 22,
        "A" * 16 + "." + "b" * 22,
        "a" * 16 + "." + "b" * 21 + "=",
        "a" * 16 + "." + "b" * 22 + "\n",
        "revision",
    ],
)
def test_other_texts_have_no_owner(text: str) -> None:
    assert owner_of(text) is None
