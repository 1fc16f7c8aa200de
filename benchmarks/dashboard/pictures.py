"""Draw each row of a day as its panels stand in the dashboard: ``python -m … FOLDER``.

Runs in the environment of the load test, which has matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from benchmarks.dashboard import kept
from benchmarks.dashboard.kept import in_unit

COLUMNS: Final = 3
PANEL_IN: Final = (4.6, 2.5)
DPI: Final = 80
COLOURS: Final = 256  # of a file: a quarter of the bytes
FAULTS: Final = ("#c85000", "#0072b2", "#b5568f", "#008660")
MANY: Final = 8  # curves of which each has its name

mpl.rcParams.update(
    {"font.size": 8, "axes.grid": True, "grid.alpha": 0.2, "lines.linewidth": 1.2,
     "axes.spines.top": False, "axes.spines.right": False}
)  # fmt: skip


def row(day: kept.Day, shown: kept.Row) -> Figure:
    high = -(-len(shown.panels) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL_IN[0], high * PANEL_IN[1] + 0.4), dpi=DPI)
    for place, panel in enumerate(shown.panels, 1):
        _panel(figure.add_subplot(high, COLUMNS, place), day, panel)
    for number, fault in enumerate(day.faults):
        figure.text(0.02 + 0.15 * number, 0.995, f"■ {fault.name}", color=FAULTS[number], va="top")
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.25 / (high * PANEL_IN[1] + 0.4)))
    return figure


def _panel(axes: Any, day: kept.Day, panel: kept.Panel) -> None:
    axes.set_title(f"{panel.number} {panel.title}", loc="left", fontsize=9)
    for number, fault in enumerate(day.faults):
        end_s = max(fault.to_s, fault.from_s + 1)
        axes.axvspan(fault.from_s, end_s, color=FAULTS[number], alpha=0.18, linewidth=0)
    values: list[float] = []
    for curve in panel.curves:
        at = [second for second, value in enumerate(curve.values) if value is not None]
        known = [value if value is not None else float("nan") for value in curve.values]
        values += curve.between(0, day.long_s)
        axes.plot(known, label=curve.name, marker="." if len(at) == 1 else "", clip_on=False)
    if not values:
        axes.text(0.5, 0.5, "silence", transform=axes.transAxes, ha="center", color="#888888")
    top = max(values, default=0.0)
    if panel.bound is not None and (top > panel.bound / 3 or panel.red_below):
        axes.axhline(panel.bound, color="#cc0000", linestyle="--", linewidth=0.8)
        top = max(top, panel.bound)
    axes.set_xlim(0, day.long_s)
    axes.set_ylim(0, top * 1.1 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: in_unit(value, panel.unit)))
    if 0 < len(panel.curves) <= MANY:
        axes.legend(
            fontsize=6.5, loc="upper left", framealpha=0.7, ncols=1 + (len(panel.curves) > 4)
        )


def main() -> None:
    folder = Path(sys.argv[1])
    day = kept.read(folder)
    for number, shown in enumerate(day.rows, 1):
        file = folder / f"row-{number}.png"
        row(day, shown).savefig(file, metadata={"Software": None})
        with Image.open(file) as drawn:
            few = drawn.convert("RGB").quantize(COLOURS)
        few.save(file, optimize=True)


if __name__ == "__main__":
    main()
