"""Tell a day: ``python -m benchmarks.dashboard.report FOLDER`` writes report.md anew.

FOLDER holds day.json, and words.json: by a panel's number, what a person says of what it showed.
Both are read again, so that words may be added after the day.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.dashboard import kept
from benchmarks.dashboard.kept import Curve, Day, Panel, in_unit

FILE: Final = "report.md"
SILENCE: Final = "silence"
MORE: Final = 1.25  # times what it was while all was quiet: it has moved
MUCH_MORE: Final = 2.0  # the same of times, which differ by as much with nothing wrong


def moved(curve: Curve, day: Day, from_s: float, to_s: float, unit: str = "") -> bool:
    """Whether it went where it was not in the quiet time, or came, or fell silent."""
    _, begin_s, end_s = next(day.spans())
    quiet, then = curve.between(begin_s, end_s), curve.between(from_s, to_s)
    if not quiet or not then:
        return bool(quiet) != bool(then)
    more = MUCH_MORE if unit == "s" else MORE
    return max(then) > more * max(quiet) or min(then) < min(quiet) / more


def told(day: Day, words: dict[str, str]) -> str:
    """The report, as Markdown."""
    return "\n\n".join(_parts(day, words)) + "\n"


def _parts(day: Day, words: dict[str, str]) -> Iterator[str]:
    yield "# The dashboard on a day with faults"
    if "day" in words:
        yield words["day"]
    yield "\n".join(f"- {name}: {value}" for name, value in day.facts.items())
    yield _table(("fault", "from, s", "to, s", "panels that moved"), _faults(day))
    yield "\n".join(f"- {ledger}" for ledger in day.ledgers)
    if "reading" in words:
        yield words["reading"]
    for number, row in enumerate(day.rows, 1):
        yield f"## {row.question}"
        yield f"![{row.question} A plot for each panel, over the day](row-{number}.png)"
        for panel in row.panels:
            yield from _panel(panel, day, words.get(str(panel.number), ""))


def _faults(day: Day) -> Iterator[Iterable[str]]:
    spans = list(day.spans())[1:]
    for fault, (_, from_s, to_s) in zip(day.faults, spans, strict=True):
        numbers = [
            str(panel.number)
            for row in day.rows
            for panel in row.panels
            if any(moved(curve, day, from_s, to_s, panel.unit) for curve in panel.curves)
        ]
        yield fault.name, f"{fault.from_s:.1f}", f"{fault.to_s:.1f}", ", ".join(numbers)


def _panel(panel: Panel, day: Day, words: str) -> Iterator[str]:
    yield f"### {panel.number} {panel.title}"
    if words:
        yield words
    yield "\n".join(f"- `{asked.text}`" for asked in panel.asked)
    names = [name for name, _, _ in day.spans()]
    lines = [
        line
        for asked in panel.asked
        for line in (
            [_line(curve, panel, day) for curve in asked.curves]
            or [(asked.legend, *[SILENCE] * (3 + len(names)))]
        )
    ]
    yield _table(("", "min", "max", "last", *names), lines)


def _line(curve: Curve, panel: Panel, day: Day) -> Iterable[str]:
    values = curve.between(0, day.long_s)
    last = curve.values[-1] if curve.values else None
    yield curve.name.replace("|", "\\|")
    yield from (
        (in_unit(pick(values), panel.unit) for pick in (min, max)) if values else [SILENCE] * 2
    )
    yield SILENCE if last is None else in_unit(last, panel.unit)
    for _, from_s, to_s in day.spans():
        then = curve.between(from_s, to_s)
        ends = (
            dict.fromkeys(in_unit(pick(then), panel.unit) for pick in (min, max))
            if then
            else [SILENCE]
        )
        text = " to ".join(ends)
        yield f"**{text}**" if moved(curve, day, from_s, to_s, panel.unit) else text


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    folder = Path(sys.argv[1])
    words = folder / "words.json"
    said: dict[str, str] = json.loads(words.read_text()) if words.exists() else {}
    (folder / FILE).write_text(told(kept.read(folder), said))


if __name__ == "__main__":
    main()
