"""How plots are drawn, each an SVG that stands alone. matplotlib, without display and scripts."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from loadtest.layout import LABEL_PT, LEFT_IN, RIGHT_IN, WIDTH_IN, Label, label_rows
from loadtest.report.plots import Plot

# Stand for what the page decides: text and lines take its colour, series have one for light and
# one for dark pages. matplotlib wants colours, and writes them out as they are.
INK: Final = "#010203"
# Can be told apart by the colour-blind (after Okabe and Ito); light page, dark page.
SERIES: Final = (
    ("#0072b2", "#56b4e9"), ("#c85000", "#ff9a4d"), ("#008660", "#2fd0a0"),
    ("#b5568f", "#e6a5cb"), ("#9a6f00", "#f0c040"), ("#2b7fb8", "#a8d8f5"),
    ("#666666", "#b5b5b5"),
)  # fmt: skip

mpl.rcParams.update(
    {
        "svg.fonttype": "none",  # text stays text: small, and it can be searched
        "svg.hashsalt": "gateway",  # the same run is the same page
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": INK,
        "grid.alpha": 0.15,
        "axes.grid": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": mpl.cycler(color=[light for light, _ in SERIES]),
        "lines.linewidth": 1.4,
    }
)

PLOT_IN: Final = 2.1  # high, whatever stands above and below
BELOW_IN: Final = 0.46
ABOVE_IN: Final = 0.1
LABEL_ROW_IN: Final = 0.16


def colours() -> str:
    """The variables that the plots take their colours from, for light and for dark pages."""
    light, dark = (
        " ".join(f"--s{n}: {pair[which]};" for n, pair in enumerate(SERIES)) for which in (0, 1)
    )
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _svg(figure: Figure, name: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Several plots share one page: ids must not meet.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace(INK, "currentColor")
    for number, (light, _) in enumerate(SERIES):
        text = text.replace(light, f"var(--s{number}, {light})")
    return text


def _axes(above_in: float = ABOVE_IN) -> tuple[Figure, Any]:
    """Axes of one size and place, so that a moment stands in one line in all plots."""
    high_in = above_in + PLOT_IN + BELOW_IN
    figure = Figure(figsize=(WIDTH_IN, high_in))
    figure.subplots_adjust(
        left=LEFT_IN / WIDTH_IN, right=1 - RIGHT_IN / WIDTH_IN,
        top=1 - above_in / high_in, bottom=BELOW_IN / high_in,
    )  # fmt: skip
    return figure, figure.add_subplot()


def _plain_numbers(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: _short(value))
    axis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    """A number that is never wider than the margin."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:g}{letter}"
    return f"{value:g}"


class Charts:
    """Draws the plots of one run.

    Args:
        events: What is marked on those over time: seconds since the run was begun, and a name.
        long_s: Where time ends.
    """

    def __init__(self, events: Sequence[tuple[float, str]], long_s: float) -> None:
        self._long_s = long_s
        self._labels: list[Label] = label_rows(events, long_s)

    def svg(self, plot: Plot) -> str:
        name = re.sub(r"\W+", "-", plot.title.lower())
        if plot.kind == "over time":
            return _svg(self._over_time(plot), name)
        return _svg(_shares(plot) if plot.kind == "shares" else _bars(plot), name)

    def _over_time(self, plot: Plot) -> Figure:
        rows = 1 + max((label.row for label in self._labels), default=-1)
        figure, axes = _axes(ABOVE_IN + rows * LABEL_ROW_IN)
        for at, values in plot.series.values():
            # A second is all that is known of a count: it did not begin to change before.
            axes.plot(at, values, drawstyle="steps-mid" if plot.steps else "default")
        if plot.log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        _plain_numbers(axes.yaxis)
        self._mark_events(axes)
        axes.set_xlabel("seconds")
        axes.set_xlim(left=0, right=self._long_s)
        return figure

    def _mark_events(self, axes: Any) -> None:
        above = axes.get_xaxis_transform()  # seconds, and shares of the height
        for label in self._labels:
            top = 1 + (label.row + 1) * LABEL_ROW_IN / PLOT_IN
            axes.plot(
                [label.at_s] * 2, [0, top], transform=above, clip_on=False,
                color=INK, alpha=0.6, linestyle=":", linewidth=1,
            )  # fmt: skip
            axes.annotate(
                label.text, (label.at_s, top), xycoords=above, fontsize=LABEL_PT, va="top",
                xytext=(-3 if label.to_the_left else 3, 0), textcoords="offset points",
                ha="right" if label.to_the_left else "left", annotation_clip=False,
            )  # fmt: skip


def _shares(plot: Plot) -> Figure:
    figure, axes = _axes()
    for at, values in plot.series.values():
        axes.step(at, values, where="post")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        _plain_numbers(axis)
    axes.set_xlabel("ms")
    return figure


def _bars(plot: Plot) -> Figure:
    figure, axes = _axes()
    [(at, counts)] = plot.series.values()
    axes.bar(at, counts, width=at[1] - at[0], align="edge")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _plain_numbers(axes.yaxis)
    axes.set_xlabel("seconds from the close of one connection to the next")
    return figure
