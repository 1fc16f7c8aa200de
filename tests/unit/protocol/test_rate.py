"""How many a second, at exactly the bound. Times are binary fractions: exact in a float."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.rate import Rate, counted


def allowed(rate: Rate, now: float, tries: int = 1000) -> int:
    return sum(rate.allow(now) for _ in range(tries))


@pytest.mark.parametrize("per_second", [1, 4, 100])
def test_exactly_one_seconds_worth_is_allowed_at_once(per_second: int) -> None:
    rate = Rate(per_second, now=100.0)

    assert rate.most == per_second
    assert allowed(rate, 100.0) == per_second


def test_the_next_one_is_allowed_exactly_when_it_is_due() -> None:
    rate = Rate(4, now=100.0)
    allowed(rate, 100.0)

    assert not rate.allow(100.0 + 0.25 - 2**-20)
    assert rate.allow(100.25)
    assert not rate.allow(100.25)


def test_a_long_silence_saves_up_no_more_than_one_second() -> None:
    rate = Rate(4, now=100.0)
    allowed(rate, 100.0)

    assert allowed(rate, 1000.0) == 4


def test_one_that_is_refused_does_not_delay_the_next() -> None:
    rate = Rate(1, now=100.0)
    rate.allow(100.0)
    for tenth in range(8):
        assert not rate.allow(100.0 + tenth / 8)

    assert rate.allow(101.0)


def test_less_than_one_a_second_still_allows_the_first() -> None:
    rate = Rate(0.25, now=100.0)

    assert rate.allow(100.0)
    assert not rate.allow(103.5)
    assert rate.allow(104.0)


@given(st.integers(1, 64), st.lists(st.integers(0, 64).map(lambda n: n / 64), max_size=200))
def test_no_stretch_of_time_has_more_than_its_share_and_one_burst(
    per_second: int, pauses: list[float]
) -> None:
    rate = Rate(per_second, now=0.0)
    times = [now for now in itertools.accumulate(pauses) if rate.allow(now)]

    for first, start in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= per_second * (times[last] - start) + per_second + 1e-6


@pytest.mark.parametrize("per_second", [1, 4])
def test_the_same_in_one_number(per_second: int) -> None:
    """After a quiet second as many at once as in one second, and then one at a time."""
    now, at = 100.0, 0.0
    for _ in range(per_second):
        at = counted(at, now, per_second)
        assert at <= now

    assert counted(at, now, per_second) > now
    assert counted(at, now + 1 / per_second, per_second) <= now + 1 / per_second
    assert counted(at, now + 1 / per_second, per_second, count=2) > now + 1 / per_second
