"""How it is read, by Prometheus and by the supervisor: of all workers of a port, or of one.

With ``PROMETHEUS_MULTIPROC_DIR`` set before ``gateway.metrics`` is imported, the numbers of all
worker processes of a port are read together.
"""

from __future__ import annotations

import os
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def connections_of_all_workers() -> int:
    """How many sockets the workers of this port hold, as they said within the last second."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return int(registry.get_sample_value("gateway_connections") or 0)


def exposition() -> bytes:
    """All metrics of this port, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
