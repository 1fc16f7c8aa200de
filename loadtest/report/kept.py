"""What is kept of a run, as ``run.json``: everything that its summary and its page are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from loadtest.arguments import SCENARIOS, Refused
from loadtest.record import Record
from loadtest.report.figures import figures_of
from loadtest.report.plots import Plot, long_s, plots_of
from loadtest.verdict import headline


@dataclass(frozen=True, slots=True)
class Kept:
    """One run. ``results`` are for other programs; events are in seconds since it was begun."""

    reasons: list[str]
    figures: dict[str, str]
    results: dict[str, float]
    scenario: str
    title: str
    long_s: float
    events: list[tuple[float, str]]
    faults: list[str]  # the first ones
    notes: list[str]
    plots: list[Plot]

    def lists(self) -> dict[str, list[str]]:
        """What is said below figures and plots, by its title."""
        found = {
            "Events": [f"{at_s:.1f} s: {label}" for at_s, label in self.events],
            "The first faults": self.faults,
            "Notes": self.notes,
        }
        return {title: rows for title, rows in found.items() if rows}


def kept_of(record: Record, why: list[str], own_figures: Mapping[str, str]) -> Kept:
    """What of a record is kept, and why it was not clean."""
    figures = {**own_figures, **figures_of(record)}
    at = datetime.fromtimestamp(record.begun_unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    events = [(round(e.at_unix_s - record.begun_unix_s, 2), e.label) for e in record.events]
    return Kept(
        reasons=why,
        figures=figures,
        results=record.results,
        scenario=record.arguments.scenario,
        title=f"{record.arguments.scenario}, {at}",
        long_s=round(long_s(record), 2),
        events=[(max(0.0, at_s), label) for at_s, label in events],
        faults=record.tally.examples,
        notes=record.notes,
        plots=plots_of(record),
    )


def written(kept: Kept) -> str:
    """As JSON, a line for each thing: what differs between two runs can be seen."""
    facts = asdict(kept)
    plots = facts.pop("plots")
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in facts.items()]
    drawn = ",\n".join(f"  {json.dumps(plot, separators=(',', ':'))}" for plot in plots)
    return "{\n" + ",\n".join([*lines, f' "plots": [\n{drawn}\n ]']) + "\n}\n"


def read(text: str) -> Kept:
    """What ``written`` wrote.

    Raises:
        Refused: It is something else.
    """
    try:
        facts = json.loads(text)
        plots = [Plot(**plot) for plot in facts.pop("plots")]
        events = [(at_s, label) for at_s, label in facts.pop("events")]
        return Kept(**facts, plots=plots, events=events)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refused("not what is kept of a run") from None


def summary_of(kept: Kept) -> str:
    """The figures as Markdown. Its first line says whether the run was clean."""
    lines = [
        headline(kept.reasons),
        "",
        f"# {kept.title}",
        "",
        f"{SCENARIOS[kept.scenario].about}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value.replace('|', '/')} |" for name, value in kept.figures.items()),
    ]
    for title, rows in kept.lists().items():
        lines += ["", f"## {title}", "", *(f"- {row}" for row in rows)]
    return "\n".join(lines) + "\n"
