"""Watches a gateway while it is under load: its processes where they are local, else /metrics."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from loadtest.metrics import scrape
from loadtest.record import Sample
from loadtest.stand import Stand


class Observer:
    """Takes one sample at a time."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        # CPU is counted between two looks at the same process.
        self._known: dict[int, psutil.Process] = {}
        self._spent: tuple[float, float] | None = None
        psutil.cpu_percent()  # counts from here

    def look(self) -> Sample:
        sample = Sample(at_unix_s=time.time(), machine_cpu=psutil.cpu_percent())
        metrics = scrape(self._stand.api)
        if metrics is not None:
            sample.connections = metrics.get("gateway_connections")
            self._from_afar(sample, metrics)
        found = self._stand.processes()
        if found.workers:
            workers = self._remembered(found.workers)
            sample.workers = len(workers)
            sample.gateway_cpu = _together(workers, lambda p: p.cpu_percent())
            sample.gateway_bytes = int(_together(workers, lambda p: p.memory_info().rss))
            sample.gateway_files = int(_together(workers, lambda p: p.num_fds()))
        if found.redis:
            redis = self._remembered(found.redis)
            sample.redis_cpu = _together(redis, lambda p: p.cpu_percent())
            sample.redis_bytes = int(_together(redis, lambda p: p.memory_info().rss))
        return sample

    def _remembered(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        return [self._known.setdefault(process.pid, process) for process in processes]

    def _from_afar(self, sample: Sample, metrics: dict[str, float]) -> None:
        """What one process alone says of itself; under ``gateway serve`` nobody does."""
        spent_s = metrics.get("process_cpu_seconds_total")
        if spent_s is None:
            return
        if self._spent is not None and sample.at_unix_s > self._spent[0]:
            took_s = sample.at_unix_s - self._spent[0]
            sample.gateway_cpu = max(0.0, (spent_s - self._spent[1]) / took_s * 100)
        self._spent = (sample.at_unix_s, spent_s)
        sample.gateway_bytes = int(metrics.get("process_resident_memory_bytes", 0)) or None


def _together(processes: list[psutil.Process], measure: Callable[[psutil.Process], float]) -> float:
    total = 0.0
    for process in processes:
        try:
            total += measure(process)
        except psutil.Error:
            continue  # it ended meanwhile
    return total
