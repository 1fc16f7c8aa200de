"""What the operator can measure. Names and meanings: docs/reference/metrics.md.

What there is (``families``), how it is counted where every call counts (``counters``), and how it
is read (``exposition``).
"""

from gateway.metrics.counters import Counters
from gateway.metrics.exposition import CONTENT_TYPE, connections_of_all_workers, exposition
from gateway.metrics.families import (
    CHANNELS,
    CONNECTIONS,
    EDGES_WITHOUT_HANDLERS,
    HANDLER_TARGETS,
    HANDLER_WORKERS,
    HANDLERS_RUNNING,
    MASTER_AWAY,
    OUTBOX_BYTES,
    PRESENCE_FAILING,
    PRESENCE_MEMBERS,
    PROBE_AGE,
    QUORUM_LOST,
    REDIS_UNLOCATED,
    REFUSED,
    REGISTRY_WAITING,
    SENTINELS_AWAY,
    SLOTS_UNCOVERED,
    SUBSCRIPTIONS,
    WORKER_USE,
    WORKERS,
    begin,
    close_code_label,
    count_key_set_fetch,
    count_publication_failed,
    count_redis_error,
)

__all__ = [
    "CHANNELS",
    "CONNECTIONS",
    "CONTENT_TYPE",
    "EDGES_WITHOUT_HANDLERS",
    "HANDLERS_RUNNING",
    "HANDLER_TARGETS",
    "HANDLER_WORKERS",
    "MASTER_AWAY",
    "OUTBOX_BYTES",
    "PRESENCE_FAILING",
    "PRESENCE_MEMBERS",
    "PROBE_AGE",
    "QUORUM_LOST",
    "REDIS_UNLOCATED",
    "REFUSED",
    "REGISTRY_WAITING",
    "SENTINELS_AWAY",
    "SLOTS_UNCOVERED",
    "SUBSCRIPTIONS",
    "WORKERS",
    "WORKER_USE",
    "Counters",
    "begin",
    "close_code_label",
    "connections_of_all_workers",
    "count_key_set_fetch",
    "count_publication_failed",
    "count_redis_error",
    "exposition",
]
