"""What comes early: whatever the order, each run is known by its ends, and given out once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.reorder_buffer import ReorderBuffer, within


@given(st.lists(st.integers(1, 40), unique=True))
def test_its_runs_are_what_is_held(numbers: list[int]) -> None:
    early = ReorderBuffer()
    for number in numbers:
        early.keep(number, b"%d" % number, 1 << 20)

    runs = list(zip(early.runs[::2], early.runs[1::2], strict=True))
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(runs))
    assert {n for first, last in runs for n in range(first, last + 1)} == set(numbers)
    assert [n for n in range(42) if within(early.runs, n)] == sorted(numbers)

    taken = [payload for first, _ in runs for payload in early.take(first)]
    assert taken == [b"%d" % number for number in sorted(numbers)]
    assert early.runs == []
    assert early.keep(50, bytes(10), 10)  # the bound is free again


def test_beyond_its_bound_it_keeps_nothing() -> None:
    early = ReorderBuffer()

    assert early.keep(2, bytes(6), 10)
    assert not early.keep(4, bytes(5), 10)

    assert 4 not in early
    assert early.runs == [2, 2]


def test_a_run_that_is_not_next_is_not_given_out() -> None:
    early = ReorderBuffer()
    early.keep(3, b"3", 10)

    assert early.take(2) == []
    assert early.take(3) == [b"3"]
