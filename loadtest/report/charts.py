"""Plots of one run, each an SVG that stands alone. matplotlib, without a display and scripts."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from loadtest.record import Record
from loadtest.tally import percentile, seconds_of

mpl.rcParams.update(
    {
        "svg.fonttype": "none",  # text stays text: small, and it can be searched
        "svg.hashsalt": "gateway",  # the same run is the same page
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": mpl.cycler(
            color=["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666"]
        ),  # can be told apart by the colour-blind (Okabe and Ito)
        "lines.linewidth": 1.4,
    }
)

WIDTH_IN: Final = 8.6
HEIGHT_IN: Final = 2.7
Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def _svg(figure: Figure, name: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Several plots share one page: ids must not meet.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    return re.sub(r'href="#', f'href="#{name}-', text)


def _axes(title: str, unit: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN))
    figure.subplots_adjust(left=0.08, right=0.77, top=0.9, bottom=0.17)  # the same for all
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(unit)
    return figure, axes


def _plain_numbers(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


class Charts:
    """All plots of one record."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._start = int(record.begun_unix_s)
        ends = [int(record.load_to_unix_s), *(max(by) for by in record.tally.counts.values() if by)]
        self._seconds = range(self._start, max([self._start, *ends]) + 1)
        # Long runs: a point a second would be more than can be seen.
        self._step = max(1, len(self._seconds) // 300)

    def all(self) -> dict[str, str]:
        """Title to SVG, of those that have something to show."""
        plots: list[Callable[[], tuple[str, str] | None]] = [
            self._throughput, self._latency, self._pushes, self._connections, self._cpu,
            self._memory, self._files, self._troubles, self._distribution, self._away,
        ]  # fmt: skip
        return dict(found for found in (plot() for plot in plots) if found is not None)

    # Over time

    def _over_time(
        self, title: str, unit: str, series: Series, *, log: bool = False
    ) -> tuple[str, str] | None:
        shown = {name: points for name, points in series.items() if any(points[1])}
        if not shown:
            return None
        figure, axes = _axes(title, unit)
        for name, (at, values) in shown.items():
            axes.plot(at, values, label=name)
        if log:
            axes.set_yscale("log")
            _plain_numbers(axes.yaxis)
        else:
            axes.set_ylim(bottom=0)
        self._mark_events(axes)
        axes.set_xlabel("seconds")
        axes.set_xlim(left=0, right=len(self._seconds))
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        return title, _svg(figure, re.sub(r"\W+", "-", title.lower()))

    def _mark_events(self, axes: Any) -> None:
        for event in self._record.events:
            at = event.at_unix_s - self._start
            axes.axvline(at, color="#666666", linestyle=":", linewidth=1)
            axes.annotate(
                event.label, (at, 1), xycoords=("data", "axes fraction"), rotation=90,
                fontsize=7, va="top", ha="right", color="#444444",
            )  # fmt: skip

    def _counted(self, name: str) -> tuple[list[float], list[float]]:
        counts: Mapping[int, int] = self._record.tally.counts.get(name, {})
        at, values = [], []
        for first in range(0, len(self._seconds), self._step):
            span = range(first, min(first + self._step, len(self._seconds)))
            at.append(float(first))
            values.append(sum(counts.get(self._start + s, 0) for s in span) / len(span))
        return at, values

    def _throughput(self) -> tuple[str, str] | None:
        names = {
            "sent": "sent",
            "answered": "answered",
            "pushed": "pushed",
            "held back": "held back",
        }
        series = {label: self._counted(name) for name, label in names.items()}
        return self._over_time("Throughput", "messages/s", series)

    def _percentiles(self, name: str) -> Series:
        by_second = self._record.tally.times.get(name, {})
        series: dict[str, tuple[list[float], list[float]]] = {}
        for label, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("longest", 1.0)):
            at, values = [], []
            for first in range(0, len(self._seconds), self._step):
                span = [self._start + s for s in range(first, first + self._step)]
                if any(by_second.get(second) for second in span):
                    steps = self._record.tally.all_times(name, span)
                    at.append(float(first))
                    values.append(percentile(steps, share) * 1e3)
            series[label] = (at, values)
        return series

    def _latency(self) -> tuple[str, str] | None:
        series = self._percentiles("echo")
        return self._over_time("Latency, from due to answered", "ms", series, log=True)

    def _pushes(self) -> tuple[str, str] | None:
        series = self._percentiles("push")
        return self._over_time("Latency of pushes, from due to the socket", "ms", series, log=True)

    def _sampled(self, name: str, scale: float = 1.0) -> tuple[list[float], list[float]]:
        points = [
            (sample.at_unix_s - self._start, getattr(sample, name) * scale)
            for sample in self._record.samples[:: self._step]
            if getattr(sample, name) is not None
        ]
        return [at for at, _ in points], [value for _, value in points]

    def _connections(self) -> tuple[str, str] | None:
        seconds = sorted(self._record.connected)[:: self._step]
        series: Series = {
            "of users": (
                [float(second - self._start) for second in seconds],
                [float(self._record.connected[second]) for second in seconds],
            ),
            "of the gateway": self._sampled("connections"),
        }
        return self._over_time("Connections", "open", series)

    def _cpu(self) -> tuple[str, str] | None:
        seconds = sorted(self._record.load)[:: self._step]
        cores = os.cpu_count() or 1
        series: Series = {
            "gateway, all workers": self._sampled("gateway_cpu"),
            "Redis": self._sampled("redis_cpu"),
            "busiest generator": (
                [float(second - self._start) for second in seconds],
                [self._record.load[second][0] for second in seconds],
            ),
            f"this machine, {cores} cores": self._sampled("machine_cpu", cores),
        }
        return self._over_time("CPU", "% of one core", series)

    def _memory(self) -> tuple[str, str] | None:
        series = {
            "gateway, all workers": self._sampled("gateway_bytes", 1e-6),
            "Redis": self._sampled("redis_bytes", 1e-6),
        }
        return self._over_time("Memory", "MB", series)

    def _files(self) -> tuple[str, str] | None:
        return self._over_time(
            "Open files", "of all workers", {"open": self._sampled("gateway_files")}
        )

    def _troubles(self) -> tuple[str, str] | None:
        tally = self._record.tally
        names = [n for p in ("fault ", "close ", "slow close ", "refused ") for n in tally.names(p)]
        names += ["in doubt"]
        series = {name.removeprefix("fault "): self._counted(name) for name in names}
        return self._over_time("Faults, closes, refusals", "a second", series)

    # Over durations

    def _distribution(self) -> tuple[str, str] | None:
        names = {
            "echo": "echo",
            "push": "push",
            "ws connect": "connect",
            "POST": "receipt of a push",
        }
        figure, axes = _axes("Share of latencies above", "1 in …")
        for name, label in names.items():
            steps = self._record.tally.all_times(name)
            total, above = steps.total(), steps.total()
            at, values = [], []
            for step in sorted(steps):
                at.append(seconds_of(step) * 1e3)
                values.append(total / above)
                above -= steps[step]
            if total:
                axes.step(at, values, where="post", label=label)
        if not axes.lines:
            return None
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            _plain_numbers(axis)
        axes.set_xlabel("ms")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        return "Share of latencies above", _svg(figure, "distribution")

    def _away(self) -> tuple[str, str] | None:
        steps = self._record.tally.all_times("away")
        if not steps:
            return None
        title = "How long users were away"
        figure, axes = _axes(title, "times")
        longest = seconds_of(max(steps))
        values = [seconds_of(step) for step in steps]
        axes.hist(values, bins=40, range=(0, longest), weights=list(steps.values()))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("seconds from the close of one connection to the next")
        return title, _svg(figure, "away")
