"""What metrics say has happened since a moment: they are counted for the whole process."""

from __future__ import annotations

from prometheus_client import REGISTRY

from tests.support.inprocess import InProcess


class Counted:
    """How much metrics of this process have risen since this was made.

    Args:
        workers: Those whose counts are wanted; counts are folded when they are read.
    """

    def __init__(self, *workers: InProcess) -> None:
        self._workers = workers
        self._fold()
        self._before: dict[tuple[str, frozenset[tuple[str, str]]], float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """By how much the metric ``name`` with exactly these labels has risen."""
        self._fold()
        now = REGISTRY.get_sample_value(name, labels) or 0.0
        return now - self._before.get((name, frozenset(labels.items())), 0.0)

    def _fold(self) -> None:
        for served in self._workers:
            served.worker._housekeeping.fold()
