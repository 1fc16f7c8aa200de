"""Where things stand on the plots of a report."""

from __future__ import annotations

import itertools

import pytest

from loadtest.layout import (
    LEFT_IN,
    LETTER_IN,
    RIGHT_IN,
    WIDTH_IN,
    label_rows,
    rates,
    thinned,
)

BEGUN_S = 1000.7


@pytest.mark.parametrize("long_s", [40, 1900])
@pytest.mark.parametrize("event_s", [1012.0, 1012.4, 1012.99])
def test_an_event_stands_in_the_second_in_which_rates_fell(long_s: int, event_s: float) -> None:
    """Also when a point is not a second any more, and the depth of a short fall is kept."""
    seconds = range(1000, 1000 + long_s)
    counts = {second: 20 if second == int(event_s) else 500 for second in seconds}

    at, values = rates(counts, seconds, BEGUN_S, max(1, long_s // 300))

    assert min(values) == 20
    lowest = at[list(values).index(20)]
    assert abs(lowest - (event_s - BEGUN_S)) <= 0.5


def test_what_happened_for_a_moment_survives_thinning_in_its_order() -> None:
    at = [float(second) for second in range(12)]
    values = [5.0, 5, 9, 5, 1, 5, 5, 5, 5, 5, 5, 5]

    assert thinned((at, values), 6) == ([2.0, 4.0, 6.0], [9, 1, 5])
    assert thinned((at, values), 1) == (at, values)


@pytest.mark.parametrize(
    "events",
    [
        [(0.0, "start"), (0.1, "all connected"), (40.0, "end of load")],
        [(12.0, "worker killed"), (12.5, "worker killed"), (13.0, "all leave")],
        [(39.0, "restart begins"), (39.5, "stopped"), (40.0, "end of load")],
    ],
)
def test_names_of_events_overlap_neither_each_other_nor_the_edge(
    events: list[tuple[float, str]],
) -> None:
    a_second_in = (WIDTH_IN - LEFT_IN - RIGHT_IN) / 40.0
    labels = label_rows(events, 40.0)

    assert [(label.at_s, label.text) for label in labels] == events
    spans: dict[int, list[tuple[float, float]]] = {}
    for label in labels:
        at_in, wide_in = label.at_s * a_second_in, len(label.text) * LETTER_IN
        begin_in = at_in - wide_in if label.to_the_left else at_in
        assert begin_in >= -LEFT_IN
        assert begin_in + wide_in <= WIDTH_IN - LEFT_IN
        spans.setdefault(label.row, []).append((begin_in, begin_in + wide_in))
    for row in spans.values():
        row.sort()
        assert all(one[1] < other[0] for one, other in itertools.pairwise(row))


def test_a_line_does_not_cross_the_name_before_it() -> None:
    first, second = label_rows([(12.0, "worker killed"), (12.5, "all leave")], 40.0)

    assert first.row > second.row  # lines reach up to their own name
