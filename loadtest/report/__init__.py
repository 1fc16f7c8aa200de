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
from loadtest.report.charts import Charts
from loadtest.report.figures import figures_of
from loadtest.verdict import headline

STYLE: Final = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; background: #fff; color: #1a1a1a; }
h1 { font-size: 1.4rem; padding: .6rem 1rem; border-left: .5rem solid; background: #f4f4f4; }
h1.clean { border-color: #009e73; } h1.not { border-color: #d55e00; }
table { border-collapse: collapse; } th { font-weight: 600; }
th, td { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
figure { margin: 1.2rem 0; } svg { width: 100%; height: auto; }
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


def _page(record: Record, why: list[str], figures: Mapping[str, str]) -> str:
    about = SCENARIOS[record.arguments.scenario].about
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in figures.items()
    )
    plots = "\n".join(
        f'<figure aria-label="{escape(title)}">{svg}</figure>'
        for title, svg in Charts(record).all().items()
    )
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
<style>{STYLE}</style>
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
