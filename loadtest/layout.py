"""Where things stand on a plot: points in time, and names of events over no other. No drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH_IN: Final = 8.6
LEFT_IN: Final = 0.62
RIGHT_IN: Final = 0.12
LABEL_PT: Final = 8
# Wider than most fonts are: which one the reader has is not known.
LETTER_IN: Final = 0.62 * LABEL_PT / 72

Points = tuple[Sequence[float], Sequence[float]]


def rates(counts: Mapping[int, int], seconds: range, start_s: float, step: int) -> Points:
    """What was counted in each second, in its middle: not before what caused it."""
    at = [second + 0.5 - start_s for second in seconds]
    return thinned((at, [float(counts.get(second, 0)) for second in seconds]), step)


def thinned(points: Points, step: int) -> Points:
    """Of each ``step`` points the lowest and the highest: what happened for a moment is seen."""
    at, values = points
    kept: list[int] = []
    for first in range(0, len(at), step):
        span = range(first, min(first + step, len(at)))
        kept += sorted({min(span, key=values.__getitem__), max(span, key=values.__getitem__)})
    return [at[index] for index in kept], [values[index] for index in kept]


@dataclass(frozen=True, slots=True)
class Label:
    """Where an event's name stands: above the plot, and over no other."""

    text: str
    at_s: float
    row: int
    to_the_left: bool


def label_rows(events: Sequence[tuple[float, str]], seconds: float) -> list[Label]:
    """Give each a row in which there is room for it. 0 is the lowest.

    Of two that are near the one whose line would cross the other's name stands lower.
    """
    a_second_in = (WIDTH_IN - LEFT_IN - RIGHT_IN) / seconds
    spans = []
    for at_s, text in sorted(events):
        wide_in, at_in = (len(text) + 1.5) * LETTER_IN, at_s * a_second_in
        to_the_left = at_in + wide_in > seconds * a_second_in + RIGHT_IN
        begin_in = at_in - wide_in if to_the_left else at_in
        spans.append((begin_in, begin_in + wide_in, at_s, text, to_the_left))
    order = [s for s in reversed(spans) if not s[4]] + [s for s in spans if s[4]]
    taken: list[list[tuple[float, float]]] = []
    labels = []
    for begin_in, end_in, at_s, text, to_the_left in order:
        row = 0
        while row < len(taken) and any(b < end_in and begin_in < e for b, e in taken[row]):
            row += 1
        if row == len(taken):
            taken.append([])
        taken[row].append((begin_in, end_in))
        labels.append(Label(text, at_s, row, to_the_left))
    return sorted(labels, key=lambda label: label.at_s)
