"""Reading the raw numbers of a report: medians, spreads, and ratios within a round."""

from __future__ import annotations

import statistics
from typing import Any

Raw = dict[str, Any]
"""What raw.json holds."""


def case_of(raw: Raw, name: str) -> Raw | None:
    return next((case for case in raw["cases"] if case["name"] == name), None)


def valid(run: Raw) -> list[Raw]:
    """The rounds that are not void."""
    return [figures for figures in run["rounds"] if not figures["void"]]


def is_void(run: Raw) -> bool:
    """One void round makes a run void: what loses a message once is not measured."""
    return len(valid(run)) < len(run["rounds"]) or not run["rounds"]


def each(run: Raw, figure: str) -> list[float]:
    return [figures[figure] for figures in run["rounds"]]


def median(run: Raw, figure: str) -> float:
    return statistics.median(each(run, figure))


def ratio_of(run: Raw, base: Raw, figure: str) -> float | None:
    """The median of the ratios within each round. None: a run is void, or has no such figure."""
    if is_void(run) or is_void(base):
        return None
    pairs = zip(each(run, figure), each(base, figure), strict=False)
    ratios = [one / other for one, other in pairs if other]
    return statistics.median(ratios) if ratios else None


def ratio(raw: Raw, name: str, label: str, base_label: str, figure: str) -> float | None:
    """As ``ratio_of``, for two lines of one case. None: one of them was not measured."""
    case = case_of(raw, name)
    runs = {run["label"]: run for run in case["runs"]} if case else {}
    if label not in runs or base_label not in runs:
        return None
    return ratio_of(runs[label], runs[base_label], figure)
