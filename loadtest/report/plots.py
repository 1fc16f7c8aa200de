"""What the plots of a run show, as plain numbers: small enough to be kept, and drawn when asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from loadtest.layout import Points, rates, thinned
from loadtest.record import Record
from loadtest.tally import percentile, seconds_of

Series = Mapping[str, Points]
BARS: Final = 40


@dataclass(frozen=True, slots=True)
class Plot:
    """Series under their names, in the order of their colours.

    ``over time``: x are seconds since the run was begun, ``steps`` where a value holds for the
    whole of its second. ``shares``: one in y lasts longer than x ms. ``bars``: x is where each
    begins, in seconds; all are equally wide.
    """

    title: str
    unit: str
    kind: Literal["over time", "shares", "bars"]
    series: Series
    log: bool = False
    steps: bool = False


def plots_of(record: Record) -> list[Plot]:
    """Those that have something to show."""
    return _Plots(record).all()


def long_s(record: Record) -> float:
    """From the begin of a run to the end of all that is known of it."""
    return _seconds(record).stop - record.begun_unix_s


def _seconds(record: Record) -> range:
    first = int(record.begun_unix_s)
    ends = [int(record.load_to_unix_s), *(max(by) for by in record.tally.counts.values() if by)]
    return range(first, max([first, *ends]) + 1)


def _rounded(points: Points) -> Points:
    """More than this cannot be seen."""
    at, values = points
    return [float(f"{x:.5g}") for x in at], [float(f"{y:.4g}") for y in values]


class _Plots:
    """All plots of one record. Their seconds count from when it was begun."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._start_s = record.begun_unix_s
        self._seconds = _seconds(record)
        # Long runs: a point a second would be more than can be seen.
        self._step = max(1, len(self._seconds) // 300)

    def all(self) -> list[Plot]:
        plots: list[Callable[[], Plot | None]] = [
            self._throughput, self._latency, self._pushes, self._deliveries, self._connections,
            self._cpu, self._memory, self._files, self._troubles, self._shares, self._away,
        ]  # fmt: skip
        return [found for plot in plots if (found := plot()) is not None]

    # Over time

    def _over_time(
        self, title: str, unit: str, series: Series, *, log: bool = False, steps: bool = False
    ) -> Plot | None:
        shown = {name: _rounded(points) for name, points in series.items() if any(points[1])}
        return Plot(title, unit, "over time", shown, log, steps) if shown else None

    def _spans(self) -> Iterator[tuple[float, range]]:
        """The middle of each point's seconds, and those."""
        for first in range(self._seconds.start, self._seconds.stop, self._step):
            span = range(first, min(first + self._step, self._seconds.stop))
            yield first + len(span) / 2 - self._start_s, span

    def _counted(self, name: str) -> Points:
        counts: Mapping[int, int] = self._record.tally.counts.get(name, {})
        return rates(counts, self._seconds, self._start_s, self._step)

    def _throughput(self) -> Plot | None:
        names = ("sent", "answered", "pushed", "published", "delivered", "held back")
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

    def _deliveries(self) -> Plot | None:
        series = self._percentiles("delivery")
        return self._over_time(
            "Latency of deliveries, from due to a subscriber", "ms", series, log=True, steps=True
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
        names += ["in doubt", *tally.names("unsubscribed "), "recovered", "not recovered"]
        series = {name.removeprefix("fault "): self._counted(name) for name in names}
        return self._over_time("Faults, closes, refusals", "a second", series, steps=True)

    # Over durations

    def _shares(self) -> Plot | None:
        names = {
            "echo": "echo",
            "push": "push",
            "ws connect": "connect",
            "POST": "receipt of a push",
            "delivery": "delivery",
            "publish": "answer to a publication",
        }
        series = {}
        for name, label in names.items():
            steps = self._record.tally.all_times(name)
            total, above = steps.total(), steps.total()
            at, values = [], []
            for step in sorted(steps):
                at.append(seconds_of(step) * 1e3)
                values.append(total / above)
                above -= steps[step]
            if total:
                series[label] = _rounded((at, values))
        return Plot("Share of latencies above", "1 in …", "shares", series) if series else None

    def _away(self) -> Plot | None:
        steps = self._record.tally.all_times("away")
        if not steps:
            return None
        wide_s = seconds_of(max(steps)) / BARS
        counts = [0.0] * BARS
        for step, count in steps.items():
            counts[min(int(seconds_of(step) / wide_s), BARS - 1)] += count
        bars = _rounded(([number * wide_s for number in range(BARS)], counts))
        return Plot("How long users were away", "times", "bars", {"away": bars})
