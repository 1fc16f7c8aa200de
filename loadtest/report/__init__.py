"""What is left of a run: one page that needs no network, and a summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from loadtest.arguments import SCENARIOS
from loadtest.record import Record
from loadtest.report.charts import SERIES, Charts, Plot, colours
from loadtest.report.figures import figures_of
from loadtest.verdict import headline

STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif;
  --paper: #fff; --ink: #1a1a1a; --shade: #f4f4f4; --good: #007a58; --bad: #c04a00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171a; --ink: #e6e6e6; --shade: #23262b; --good: #2fd0a0; --bad: #ff9a4d; }
}
body { max-width: 60rem; margin: 0 auto; padding: 1rem; background: var(--paper);
  color: var(--ink); overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; padding: .6rem 1rem; border-left: .5rem solid; background: var(--shade); }
h1.clean { border-color: var(--good); } h1.not { border-color: var(--bad); }
h2 { font-size: 1.1rem; margin: 0; }
table { border-collapse: collapse; } th { font-weight: 600; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
figure { margin: 1.6rem 0; }
figcaption ul { display: flex; flex-wrap: wrap; gap: 0 1.2rem; margin: 0; padding: 0;
  list-style: none; }
figcaption li::before { content: ""; display: inline-block; width: 1.2rem; height: .25rem;
  margin-right: .4rem; vertical-align: middle; background: var(--colour); }
.plot { overflow-x: auto; } svg { display: block; width: 100%; min-width: 50rem; height: auto; }
@media (max-width: 40rem) {
  th, td { display: block; padding: 0; } td { padding-bottom: .5rem; }
}
"""


def write_report(
    record: Record, why: list[str], folder: Path, own_figures: Mapping[str, str]
) -> None:
    """Write ``report.html``, ``summary.md`` and ``run.json`` into the folder.

    Args:
        why: Reasons for which the run was not clean.
        own_figures: What the scenario has to say beside what all have.
    """
    figures = {**own_figures, **figures_of(record)}
    facts = {"reasons": why, "figures": figures, "results": record.results}
    (folder / "run.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (folder / "summary.md").write_text(_summary(record, why, figures), encoding="utf-8")
    (folder / "report.html").write_text(_page(record, why, figures), encoding="utf-8")


def _title(record: Record) -> str:
    at = datetime.fromtimestamp(record.begun_unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{record.arguments.scenario}, {at}"


def _events(record: Record) -> list[str]:
    return [f"{e.at_unix_s - record.begun_unix_s:.1f} s: {e.label}" for e in record.events]


def _summary(record: Record, why: list[str], figures: Mapping[str, str]) -> str:
    lines = [
        headline(why),
        "",
        f"# {_title(record)}",
        "",
        f"{SCENARIOS[record.arguments.scenario].about}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value.replace('|', '/')} |" for name, value in figures.items()),
    ]
    for title, rows in _lists(record).items():
        lines += ["", f"## {title}", "", *(f"- {row}" for row in rows)]
    return "\n".join(lines) + "\n"


def _lists(record: Record) -> dict[str, list[str]]:
    lists = {
        "Events": _events(record),
        "The first faults": record.tally.examples,
        "Notes": record.notes,
    }
    return {title: rows for title, rows in lists.items() if rows}


def _figure(plot: Plot) -> str:
    """The plot scrolls by itself where it is wider than the page; its words stand still."""
    series = "".join(
        f'<li style="--colour: var(--s{number % len(SERIES)})">{escape(name)}</li>'
        for number, name in enumerate(plot.series)
    )
    return (
        f'<figure aria-label="{escape(plot.title)}">\n'
        f"<figcaption><h2>{escape(plot.title)} ({escape(plot.unit)})</h2>"
        f"<ul>{series}</ul></figcaption>\n"
        f'<div class="plot" tabindex="0">{plot.svg}</div></figure>'
    )


def _page(record: Record, why: list[str], figures: Mapping[str, str]) -> str:
    about = SCENARIOS[record.arguments.scenario].about
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in figures.items()
    )
    plots = "\n".join(_figure(plot) for plot in Charts(record).all())
    lists = "\n".join(
        f"<h2>{escape(title)}</h2>\n<ul>{''.join(f'<li>{escape(row)}</li>' for row in rows)}</ul>"
        for title, rows in _lists(record).items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(_title(record))}</title>
<link rel="icon" href="data:,">
<style>{STYLE}{colours()}</style>
</head>
<body>
<h1 class="{"not" if why else "clean"}">{escape(headline(why))}</h1>
<p><strong>{escape(_title(record))}</strong>: {escape(about)}.</p>
<table>
{rows}
</table>
{plots}
{lists}
</body>
</html>
"""
