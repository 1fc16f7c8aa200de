"""What a dashboard is made of: a row for each question of an operator, a panel for each sign.

In queries ``OURS`` stands for the job and the instances that are chosen, ``RATE`` for the shortest
interval that has a rate. Labels with many values show only those that are not at 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["short", "s", "bytes", "percentunit", "reqps", "ops", "cps"]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of Prometheus, and what its series are called: ``{{label}}`` is that label's."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One sign.

    Attributes:
        says: What it means, and what to do when it is bad.
        runbook: Page of docs/runbooks and, after ``#``, its section.
        alerts: Those of deploy/prometheus/alerts.yml that are about this.
        bound: Red from here on; with ``red_below`` red until here.
        big: A number instead of curves.
    """

    title: str
    says: str
    runbook: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    alerts: tuple[str, ...] = ()
    bound: float | None = None
    red_below: bool = False
    big: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One question."""

    question: str
    panels: tuple[Panel, ...]


def quantiles(metric: str, *wanted: float, by: str = "") -> tuple[Query, ...]:
    """Quantiles of a histogram, over all ports or ``by`` a label."""
    labels, each = ("le", "") if not by else (f"le, {by}", f" {{{{{by}}}}}")
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{OURS}}[RATE])))",
            f"p{100 * q:g}{each}",
        )
        for q in wanted
    )


def use(of: str, has: str, most: str) -> tuple[Query, ...]:
    """What workers have of what they may: the worker of each port that has most, and all of it."""
    fullest = f'max by (instance) (gateway_worker_use_ratio{{of="{of}",OURS}})'
    together = f"sum by (instance) ({has}{{OURS}}) / sum by (instance) ({most}{{OURS}})"
    return Query(fullest, "one of {{instance}}"), Query(together, "{{instance}}")
