"""Metrics of what the process uses: its time, its memory, its open files."""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack
from pathlib import Path

from prometheus_client import Counter, Gauge

from gateway.metrics import Counters, families
from tests.unit.metrics.test_metrics import COUNTS_FILES


def test_cpu_time_is_told_once() -> None:
    counters = Counters()
    counters.fold()
    counters.fold()
    used = resource.getrusage(resource.RUSAGE_SELF)

    assert 0 < _value(families.PROCESS_CPU_SECONDS) <= used.ru_utime + used.ru_stime


@COUNTS_FILES
def test_open_files_are_as_many_as_there_are() -> None:
    Counters().fold()
    before = _value(families.PROCESS_OPEN_FILES)
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Path(os.devnull).open("rb"))
        Counters().fold()

    assert _value(families.PROCESS_OPEN_FILES) == before + 20


def _value(metric: Counter | Gauge) -> float:
    """Of a metric that is in no registry here."""
    [read] = [
        s.value for family in metric.collect() for s in family.samples if "created" not in s.name
    ]
    return float(read)
