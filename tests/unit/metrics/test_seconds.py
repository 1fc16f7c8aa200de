"""Durations, as they are collected between two folds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram

from gateway.metrics.counters import ALL_OF_THEM, ONE_IN, FrequentSeconds, Seconds
from gateway.metrics.families import SECONDS_BUCKETS


@given(st.lists(st.floats(0.0, 60.0) | st.sampled_from(SECONDS_BUCKETS), max_size=50))
def test_folding_is_the_same_as_observing_one_by_one(durations: list[float]) -> None:
    # The private names of prometheus_client that fold_into uses still mean what they meant.
    folded = Histogram("folded", "-", buckets=SECONDS_BUCKETS, registry=None)
    observed = Histogram("observed", "-", buckets=SECONDS_BUCKETS, registry=None)
    seconds = Seconds()
    for duration in durations:
        seconds.observe(duration)
        observed.observe(duration)

    seconds.fold_into(folded)

    assert values(folded) == pytest.approx(values(observed))


def values(histogram: Histogram) -> list[float]:
    (family,) = histogram.collect()
    return [each.value for each in family.samples if not each.name.endswith("_created")]


# What may happen often


def happen(seconds: FrequentSeconds, times: int, each_s: float) -> None:
    for _ in range(times):
        if seconds.skip:
            seconds.skip -= 1
        else:
            seconds.observe(each_s)


def test_of_what_is_rare_all_is_measured() -> None:
    seconds = FrequentSeconds()
    happen(seconds, ALL_OF_THEM, 0.25)

    assert sum(seconds.counts) == ALL_OF_THEM
    assert seconds.total == 0.25 * ALL_OF_THEM


def test_of_what_is_frequent_one_in_eight_stands_for_all() -> None:
    seconds = FrequentSeconds()
    happen(seconds, 10_000, 0.02)

    assert sum(seconds.counts) == pytest.approx(10_000, abs=ONE_IN)
    assert seconds.total == pytest.approx(200.0, abs=ONE_IN * 0.02)
