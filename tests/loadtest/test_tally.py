"""Counts and durations of several processes, added up."""

from __future__ import annotations

import pytest

from loadtest.backoff import full_jitter_s, may_come_back
from loadtest.tally import Tally, percentile


def test_percentiles_are_exact_to_a_few_per_cent() -> None:
    tally = Tally()
    for milliseconds in range(1, 1001):
        tally.time("echo", 5.0, milliseconds / 1e3)

    for share in (0.5, 0.9, 0.99, 1.0):
        assert percentile(tally.all_times("echo"), share) == pytest.approx(share, rel=0.03)


def test_nothing_has_the_percentile_zero() -> None:
    assert percentile(Tally().all_times("echo"), 0.99) == 0.0


def test_what_went_over_the_wire_is_added_second_by_second() -> None:
    here, there = Tally(), Tally()
    for tally in (here, there):
        tally.count("sent", 7.9)
        tally.time("echo", 8.1, 0.002)
        tally.example("missing: line 1")

    here.add(there.wire())

    assert here.counts["sent"] == {7: 2}
    assert here.all_times("echo", [8]).total() == 2
    assert here.all_times("echo", [7]).total() == 0
    assert len(here.examples) == 2


def test_waits_double_up_to_a_bound_with_full_jitter() -> None:
    assert [full_jitter_s(n, chance=1.0) for n in (0, 1, 2, 9)] == [0.5, 1.0, 2.0, 30.0]
    assert full_jitter_s(9, chance=0.0) == 0.0


@pytest.mark.parametrize(
    ("code", "may"), [(1006, True), (3001, True), (3500, False), (4499, True), (4500, False)]
)
def test_clients_stay_away_when_the_close_code_says_so(code: int, may: bool) -> None:
    assert may_come_back(code) is may
