"""Plots of one run, each an SVG that stands alone. matplotlib, without a display and scripts."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from loadtest.layout import (
    LABEL_PT,
    LEFT_IN,
    RIGHT_IN,
    WIDTH_IN,
    Points,
    label_rows,
    rates,
    thinned,
)
from loadtest.record import Record
from loadtest.tally import percentile, seconds_of

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
Series = Mapping[str, Points]


def colours() -> str:
    """The variables that the plots take their colours from, for light and for dark pages."""
    light, dark = (
        " ".join(f"--s{n}: {pair[which]};" for n, pair in enumerate(SERIES)) for which in (0, 1)
    )
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


@dataclass(frozen=True, slots=True)
class Plot:
    """One SVG, and what its page has to say beside it, where nothing is cut off."""

    title: str
    unit: str
    svg: str
    series: Sequence[str]  # in the order of their colours


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
    """All plots of one record. Their seconds count from when it was begun."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._start_s = record.begun_unix_s
        first = int(self._start_s)
        ends = [int(record.load_to_unix_s), *(max(by) for by in record.tally.counts.values() if by)]
        self._seconds = range(first, max([first, *ends]) + 1)
        self._long_s = self._seconds.stop - self._start_s
        # Long runs: a point a second would be more than can be seen.
        self._step = max(1, len(self._seconds) // 300)
        events = [(max(0.0, e.at_unix_s - self._start_s), e.label) for e in record.events]
        self._labels = label_rows(events, self._long_s)

    def all(self) -> list[Plot]:
        """Those that have something to show."""
        plots: list[Callable[[], Plot | None]] = [
            self._throughput, self._latency, self._pushes, self._connections, self._cpu,
            self._memory, self._files, self._troubles, self._distribution, self._away,
        ]  # fmt: skip
        return [found for plot in plots if (found := plot()) is not None]

    # Over time

    def _over_time(
        self, title: str, unit: str, series: Series, *, log: bool = False, steps: bool = False
    ) -> Plot | None:
        shown = {name: points for name, points in series.items() if any(points[1])}
        if not shown:
            return None
        rows = 1 + max((label.row for label in self._labels), default=-1)
        figure, axes = _axes(ABOVE_IN + rows * LABEL_ROW_IN)
        for at, values in shown.values():
            # A second is all that is known of a count: it did not begin to change before.
            axes.plot(at, values, drawstyle="steps-mid" if steps else "default")
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        _plain_numbers(axes.yaxis)
        self._mark_events(axes)
        axes.set_xlabel("seconds")
        axes.set_xlim(left=0, right=self._long_s)
        svg = _svg(figure, re.sub(r"\W+", "-", title.lower()))
        return Plot(title, unit, svg, list(shown))

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

    def _spans(self) -> Iterator[tuple[float, range]]:
        """The middle of each point's seconds, and those."""
        for first in range(self._seconds.start, self._seconds.stop, self._step):
            span = range(first, min(first + self._step, self._seconds.stop))
            yield first + len(span) / 2 - self._start_s, span

    def _counted(self, name: str) -> Points:
        counts: Mapping[int, int] = self._record.tally.counts.get(name, {})
        return rates(counts, self._seconds, self._start_s, self._step)

    def _throughput(self) -> Plot | None:
        names = ("sent", "answered", "pushed", "held back")
        return self._over_time(
            "Throughput", "messages/s", {name: self._counted(name) for name in names}, steps=True
        )

    def _percentiles(self, name: str) -> Series:
        by_second = self._record.tally.times.get(name, {})
        series: dict[str, tuple[list[float], list[float]]] = {}
        for label, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("longest", 1.0)):
            at, values = [], []
            for middle, span in self._spans():
                if any(by_second.get(second) for second in span):
                    steps = self._record.tally.all_times(name, span)
                    at.append(middle)
                    values.append(percentile(steps, share) * 1e3)
            series[label] = (at, values)
        return series

    def _latency(self) -> Plot | None:
        series = self._percentiles("echo")
        return self._over_time("Latency, from due to answered", "ms", series, log=True, steps=True)

    def _pushes(self) -> Plot | None:
        series = self._percentiles("push")
        return self._over_time(
            "Latency of pushes, from due to the socket", "ms", series, log=True, steps=True
        )

    def _sampled(self, name: str, scale: float = 1.0) -> Points:
        points = [
            (sample.at_unix_s - self._start_s, getattr(sample, name) * scale)
            for sample in self._record.samples
            if getattr(sample, name) is not None
        ]
        return thinned(([at for at, _ in points], [value for _, value in points]), self._step)

    def _connections(self) -> Plot | None:
        series = {
            "of users": self._sampled("connected"),
            "of the gateway": self._sampled("connections"),
        }
        return self._over_time("Connections", "open", series)

    def _cpu(self) -> Plot | None:
        seconds = sorted(self._record.load)
        cores = os.cpu_count() or 1
        busiest = (
            [second + 0.5 - self._start_s for second in seconds],
            [self._record.load[second][0] for second in seconds],
        )
        series: Series = {
            "gateway, all workers": self._sampled("gateway_cpu"),
            "Redis": self._sampled("redis_cpu"),
            "busiest generator": thinned(busiest, self._step),
            f"this machine, {cores} cores": self._sampled("machine_cpu", cores),
        }
        return self._over_time("CPU", "% of one core", series)

    def _memory(self) -> Plot | None:
        series = {
            "gateway, all workers": self._sampled("gateway_bytes", 1e-6),
            "Redis": self._sampled("redis_bytes", 1e-6),
        }
        return self._over_time("Memory", "MB", series)

    def _files(self) -> Plot | None:
        return self._over_time(
            "Open files", "of all workers", {"open": self._sampled("gateway_files")}
        )

    def _troubles(self) -> Plot | None:
        tally = self._record.tally
        names = [n for p in ("fault ", "close ", "slow close ", "refused ") for n in tally.names(p)]
        names += ["in doubt"]
        series = {name.removeprefix("fault "): self._counted(name) for name in names}
        return self._over_time("Faults, closes, refusals", "a second", series, steps=True)

    # Over durations

    def _distribution(self) -> Plot | None:
        names = {
            "echo": "echo",
            "push": "push",
            "ws connect": "connect",
            "POST": "receipt of a push",
        }
        figure, axes = _axes()
        shown = []
        for name, label in names.items():
            steps = self._record.tally.all_times(name)
            total, above = steps.total(), steps.total()
            at, values = [], []
            for step in sorted(steps):
                at.append(seconds_of(step) * 1e3)
                values.append(total / above)
                above -= steps[step]
            if total:
                axes.step(at, values, where="post")
                shown.append(label)
        if not shown:
            return None
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            _plain_numbers(axis)
        axes.set_xlabel("ms")
        title = "Share of latencies above"
        return Plot(title, "1 in …", _svg(figure, "distribution"), shown)

    def _away(self) -> Plot | None:
        steps = self._record.tally.all_times("away")
        if not steps:
            return None
        figure, axes = _axes()
        longest = seconds_of(max(steps))
        values = [seconds_of(step) for step in steps]
        axes.hist(values, bins=40, range=(0, longest), weights=list(steps.values()))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        _plain_numbers(axes.yaxis)
        axes.set_xlabel("seconds from the close of one connection to the next")
        return Plot("How long users were away", "times", _svg(figure, "away"), [])
