"""How it is read, by Prometheus and by the supervisor: of all workers of a port, or of one.

With ``PROMETHEUS_MULTIPROC_DIR`` set before ``gateway.metrics`` is imported, the numbers of all
worker processes of a port are read together.

A sample that is no number is of something that has gone, and is left out: files that several
processes share forget no label.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def connections_of_all_workers() -> int:
    """How many sockets the workers of this port hold, as they said within the last second."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return int(registry.get_sample_value("gateway_connections") or 0)


def exposition() -> bytes:
    """All metrics of this port, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(_Present(REGISTRY))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(_Present(registry))


class _Present(Collector):
    """What a registry has, but for what has gone."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [one for one in metric.samples if not math.isnan(one.value)]
            yield metric
