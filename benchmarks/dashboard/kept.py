"""What is kept of a day: what each query of the dashboard gave, second by second."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = "day.json"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was done to the gateways. Seconds are those of the day."""

    name: str
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A series, by its legend: a value for each second of the day, ``None`` where it had none."""

    name: str
    values: list[float | None]

    def between(self, from_s: float, to_s: float) -> list[float]:
        """The values that it had then."""
        return [v for v in self.values[int(from_s) : int(to_s)] if v is not None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as Prometheus was asked, its legend in the dashboard, and its curves."""

    text: str
    legend: str
    curves: list[Curve]


@dataclass(frozen=True, slots=True)
class Panel:
    number: int
    title: str
    unit: str
    bound: float | None
    red_below: bool
    asked: list[Asked]

    @property
    def curves(self) -> list[Curve]:
        return [curve for asked in self.asked for curve in asked.curves]


@dataclass(frozen=True, slots=True)
class Row:
    question: str
    panels: list[Panel]


@dataclass(frozen=True, slots=True)
class Day:
    """``facts`` say where and of what, ``ledgers`` what became of what clients sent."""

    facts: dict[str, str]
    ledgers: list[str]
    long_s: int
    faults: list[Fault]
    rows: list[Row]

    def spans(self) -> Iterator[tuple[str, float, float]]:
        """The quiet time, and each fault with what came after it: up to the next one."""
        ends = [*(fault.from_s for fault in self.faults), float(self.long_s)]
        yield "quiet", 0.0, ends[0]
        for fault, end in zip(self.faults, ends[1:], strict=True):
            yield fault.name, fault.from_s, end


def write(day: Day, folder: Path) -> None:
    (folder / FILE).write_text(json.dumps(asdict(day), separators=(",", ":")) + "\n")


def read(folder: Path) -> Day:
    raw: dict[str, Any] = json.loads((folder / FILE).read_text())
    faults = [Fault(**fault) for fault in raw.pop("faults")]
    rows = [
        Row(row["question"], [_panel(panel) for panel in row["panels"]]) for row in raw.pop("rows")
    ]
    return Day(**raw, faults=faults, rows=rows)


def _panel(raw: dict[str, Any]) -> Panel:
    asked = [
        Asked(a["text"], a["legend"], [Curve(**curve) for curve in a["curves"]])
        for a in raw.pop("asked")
    ]
    return Panel(**raw, asked=asked)


def in_unit(value: float, unit: str) -> str:
    """A value as a person reads it. ``unit``: of a panel."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    sizes = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    size, letter = next((pair for pair in sizes if abs(value) >= max(pair[0], 1e4)), (1.0, ""))
    number = f"{value / size:,.0f}" if abs(value / size) >= 1000 else f"{value / size:.3g}"
    return f"{number} {letter}B" if unit == "bytes" else f"{number}{letter}"
