"""Watches a gateway while it is under load: its processes where they are local, else /metrics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import psutil

from loadtest.metrics import get, read, scrape
from loadtest.record import Sample
from loadtest.stands.base import Stand

# A worker tells of its CPU once a second: over less than some of those it is nothing, or twice.
WINDOW_S: Final = 4.0


class Observer:
    """Takes one sample at a time."""

    def __init__(self, stand: Stand, redis_metrics: str = "") -> None:
        """``redis_metrics``: where an exporter tells of a Redis that is not local; may be empty."""
        self._stand = stand
        self._redis_metrics = redis_metrics
        # CPU is counted between two looks at the same process.
        self._known: dict[int, psutil.Process] = {}
        self._gateway, self._redis = Meter(), Meter()
        psutil.cpu_percent()  # counts from here

    def look(self) -> Sample:
        sample = Sample(at_unix_s=time.time(), machine_cpu=psutil.cpu_percent())
        metrics = scrape(self._stand.api)
        if metrics is not None:
            sample.connections = metrics.get("gateway_connections")
        found = self._stand.processes()
        if found.workers:
            workers = self._remembered(found.workers)
            sample.workers = len(workers)
            sample.gateway_cpu = _together(workers, lambda p: p.cpu_percent())
            sample.gateway_bytes = int(_together(workers, lambda p: p.memory_info().rss))
            sample.gateway_files = int(_together(workers, lambda p: p.num_fds()))
        elif metrics is not None:
            gateway_from_afar(sample, metrics, self._gateway)
        if found.redis:
            redis = self._remembered(found.redis)
            sample.redis_cpu = _together(redis, lambda p: p.cpu_percent())
            sample.redis_bytes = int(_together(redis, lambda p: p.memory_info().rss))
        elif self._redis_metrics:
            redis_from_afar(sample, read(get(self._redis_metrics) or ""), self._redis)
        return sample

    def _remembered(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        return [self._known.setdefault(process.pid, process) for process in processes]


class Meter:
    """Per cent of a core, from a counter of seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def percent(self, at_s: float, spent_s: float) -> float | None:
        """Over the last seconds; None at first, and when the counter began anew."""
        if self._seen and spent_s < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((at_s, spent_s))
        while len(self._seen) > 2 and at_s - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()
        from_s, before_s = self._seen[0]
        return (spent_s - before_s) / (at_s - from_s) * 100 if at_s > from_s else None


def gateway_from_afar(sample: Sample, metrics: Mapping[str, float], meter: Meter) -> None:
    """What the workers say of themselves, all together."""
    if (spent_s := metrics.get("process_cpu_seconds_total")) is not None:
        sample.gateway_cpu = meter.percent(sample.at_unix_s, spent_s)
    sample.gateway_bytes = _whole(metrics.get("process_resident_memory_bytes"))
    sample.gateway_files = _whole(metrics.get("process_open_fds"))


def redis_from_afar(sample: Sample, metrics: Mapping[str, float], meter: Meter) -> None:
    """What redis_exporter says of one Redis, by the names of its own."""
    parts = [metrics.get(f"redis_cpu_{kind}_seconds_total") for kind in ("sys", "user")]
    known = [part for part in parts if part is not None]
    if known:
        sample.redis_cpu = meter.percent(sample.at_unix_s, sum(known))
    sample.redis_bytes = _whole(metrics.get("redis_memory_used_bytes"))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _together(processes: list[psutil.Process], measure: Callable[[psutil.Process], float]) -> float:
    total = 0.0
    for process in processes:
        try:
            total += measure(process)
        except psutil.Error:
            continue  # it ended meanwhile
    return total
