"""What the operator can measure. Names and meanings: docs/reference/metrics.md.

The hot path counts in plain integers of a ``Counters``; ``fold`` moves them into prometheus_client
once a second. With ``PROMETHEUS_MULTIPROC_DIR`` set before this module is imported, the numbers of
all worker processes of a port are read together.
"""

from __future__ import annotations

import os
import resource
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from platform import python_version
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
OWN_CLOSE_CODES: Final = {*range(1000, 1016), 3001, 3004, 3005, 3008, 3012, 3013, 3503}

CONNECTIONS = Gauge("gateway_connections", "Open connections.", multiprocess_mode="livesum")
WORKERS = Gauge(
    "gateway_workers", "Workers that are believed to live.", multiprocess_mode="livemax"
)
HANDLER_WORKERS = Gauge(
    "gateway_handler_workers",
    "Living workers that take new messages to handle.",
    multiprocess_mode="livemax",
)
OUTBOX_BYTES = Gauge(
    "gateway_outbox_bytes", "Bytes that wait for slow sockets.", multiprocess_mode="livesum"
)
PROBE_AGE = Gauge(
    "gateway_canary_age_seconds",
    "Seconds since the last loopback probe came back.",
    multiprocess_mode="livemax",
)
MAX_CONNECTIONS = Gauge(
    "gateway_max_connections",
    "Connections that the workers of this port take.",
    multiprocess_mode="livesum",
)
MAX_HANDLERS = Gauge(
    "gateway_max_handlers",
    "Handlers that the workers of this port run at once.",
    multiprocess_mode="livesum",
)
BUILD_INFO = Gauge(
    "gateway_build_info",
    "Always 1: which version of the gateway runs, and on which Python.",
    ["version", "python"],
    multiprocess_mode="livemax",
)
OPENED = Counter("gateway_connections_opened_total", "Connections accepted.")
CLOSED = Counter("gateway_connections_closed_total", "Connections ended.", ["code"])
REFUSED = Counter(
    "gateway_handshakes_refused_total", "Handshakes answered with an HTTP error.", ["reason"]
)
RECEIVED = Counter("gateway_messages_received_total", "Messages read from sockets.")
SENT = Counter("gateway_messages_sent_total", "Messages written to sockets.")
SENDS = Counter("gateway_sends_total", "Sends to a connection asked of this port.", ["receipt"])
API_REQUESTS = Counter(
    "gateway_api_requests_total", "Calls to the API of this port.", ["method", "status"]
)
DISPATCHES = Counter(
    "gateway_dispatches_total", "Messages handed to a handler.", ["path", "outcome"]
)
DISPATCH_WAITS = Counter(
    "gateway_dispatch_waits_total", "Times that messages had to wait for room.", ["where"]
)
LINK_BATCHES = Counter("gateway_link_batches_total", "Batches published to other workers.")
LINK_ENVELOPES = Counter("gateway_link_envelopes_total", "Envelopes in those batches.")
LINK_RESENDS = Counter("gateway_link_resends_total", "Batches published again.")
LINK_POLLS = Counter("gateway_link_polls_total", "Questions to a worker after its silence.")
LINK_EARLY = Counter("gateway_link_early_total", "Batches that came before one that was missing.")
LINK_REPEATS = Counter("gateway_link_repeats_total", "Batches that had arrived before.")
UNREADABLE = Counter("gateway_envelopes_unreadable_total", "Envelopes that could not be read.")
REDIS_ERRORS = Counter(
    "gateway_redis_errors_total", "Errors that Redis answered with, and garbage.", ["kind"]
)
GIVEN_UP = Counter(
    "gateway_disconnects_given_up_total", "Connections whose on_disconnect was not run to its end."
)
WORKER_DEATHS = Counter(
    "gateway_worker_deaths_total", "Workers found dead that were not leaving, by the first to see."
)
RESYNCS = Counter("gateway_resyncs_total", "Gaps in the subscriptions.")

SECONDS_BUCKETS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
ALL_OF_THEM: Final = 128  # between two folds, which come twice a second
ONE_IN: Final = 8
HANDLER_SECONDS = Histogram(
    "gateway_handler_seconds", "Time a handler took.", buckets=SECONDS_BUCKETS
)
ANSWER_SECONDS = Histogram(
    "gateway_answer_seconds",
    "From reading a message to the end of its handling, as its edge sees it.",
    buckets=SECONDS_BUCKETS,
)
ROUNDTRIP_SECONDS = Histogram(
    "gateway_broker_roundtrip_seconds",
    "Time a loopback probe took through the broker and back.",
    buckets=SECONDS_BUCKETS,
)
LOOP_LAG_SECONDS = Histogram(
    "gateway_loop_lag_seconds",
    "How late the event loop of a worker was, twenty times a second.",
    buckets=SECONDS_BUCKETS,
)

# What prometheus_client tells of its process in the one registry, it leaves out where a port has
# several; so the same names again, for all workers together. They have no registry: in one process
# the names are taken, and with several the folder is what is read.
PROCESS_CPU_SECONDS = Counter(
    "process_cpu_seconds_total", "CPU time of all workers, also dead ones.", registry=None
)
PROCESS_MEMORY_BYTES = Gauge(
    "process_resident_memory_bytes", "Resident memory of all workers.",
    multiprocess_mode="livesum", registry=None,
)  # fmt: skip
PROCESS_OPEN_FILES = Gauge(
    "process_open_fds", "Open file descriptors of all workers.",
    multiprocess_mode="livesum", registry=None,
)  # fmt: skip
PROCESS_MOST_FILES = Gauge(
    "process_max_fds", "File descriptors that the workers may open.",
    multiprocess_mode="livesum", registry=None,
)  # fmt: skip

# Every value of a label that is known in advance. A counter that appears with its first count has
# no rate yet: an alert would miss it, and on a good day every failure is the first.
KNOWN_LABELS: Final[tuple[tuple[Counter, tuple[Iterable[str], ...]], ...]] = (
    (CLOSED, ((*map(str, sorted(OWN_CLOSE_CODES)), "3xxx", "4xxx"),)),
    (REFUSED, ((
        "address", "handler_failed", "handshake_rate", "host", "max_connections", "no_handler",
        "not_ready", "open_files", "origin", "request", "role", "subprotocols",
    ),)),
    (SENDS, (("written", "gone", "slow", "unreachable"),)),
    (API_REQUESTS, (
        ("GET", "POST", "DELETE", "other"),
        ("200", "204", "400", "401", "403", "404", "405", "410", "413", "429", "500", "503"),
    )),
    (REDIS_ERRORS, ((
        "moved", "memory", "wrongtype", "permission", "script", "busy", "storage", "garbage",
        "other",
    ),)),
    (DISPATCHES, (("local", "remote"), ("answered", "failed", "moved"))),
    (DISPATCH_WAITS, (("worker", "link"),)),
)  # fmt: skip

_STATM: Final = Path("/proc/self/statm")
_OPEN_FILES: Final = Path("/proc/self/fd")


class Seconds:
    """Observations of a duration since the last fold."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS_BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS_BUCKETS, seconds)] += 1
        self.total += seconds

    def fold_into(self, histogram: Histogram) -> None:
        # prometheus_client has no call for many observations at once, and one call each costs more
        # than the rest of a message's accounting; tests/unit/test_metrics.py watches these names.
        for bucket, count in zip(histogram._buckets, self.counts, strict=True):  # noqa: SLF001
            if count:
                bucket.inc(count)
        histogram._sum.inc(self.total)  # noqa: SLF001


class FrequentSeconds(Seconds):
    """Of what may happen ten thousand times a second: then one in eight is measured, for all.

    Attributes:
        skip: How many more need not be measured: count it down instead.
    """

    __slots__ = ("_measured", "_weight", "skip")

    def __init__(self) -> None:
        super().__init__()
        self.skip = 0
        self._measured = 0
        self._weight = 1

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS_BUCKETS, seconds)] += self._weight
        self.total += self._weight * seconds
        self._measured += 1
        if self._measured >= ALL_OF_THEM:
            self._weight = ONE_IN
            self.skip = ONE_IN - 1


class _ProcessUse:
    """What this process uses, for a port whose workers are read together."""

    __slots__ = ("_cpu_s",)

    def __init__(self) -> None:
        self._cpu_s = 0.0

    def fold(self) -> None:
        """Tell what was used until now. Costs some 50 us, whatever is open."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = used.ru_utime + used.ru_stime
        PROCESS_CPU_SECONDS.inc(max(0.0, cpu_s - self._cpu_s))  # a fork begins at nothing
        self._cpu_s = cpu_s
        try:
            pages = int(_STATM.read_bytes().split()[1])
            # Since Linux 6.2 the size of this folder is how many it holds. To list the folder of
            # 10,000 connections stops the worker for 10 to 25 ms; so before that, no number.
            files = _OPEN_FILES.stat().st_size
        except (OSError, ValueError, IndexError):
            return  # not Linux
        PROCESS_MOST_FILES.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        PROCESS_MEMORY_BYTES.set(pages * resource.getpagesize())
        if files:
            PROCESS_OPEN_FILES.set(files)


_USE: Final = _ProcessUse()  # of the process: several workers may share it, in tests


class Counters:
    """What one worker has counted since the last fold."""

    __slots__ = (
        "answer_seconds",
        "api_requests",
        "closed",
        "dispatch_waits",
        "dispatches",
        "given_up",
        "handler_seconds",
        "link_batches",
        "link_early",
        "link_envelopes",
        "link_polls",
        "link_repeats",
        "link_resends",
        "loop_lag_seconds",
        "opened",
        "received",
        "refused",
        "resyncs",
        "roundtrip_seconds",
        "sends",
        "sent",
        "unreadable",
        "worker_deaths",
    )  # fmt: skip

    def __init__(self) -> None:
        self.opened = 0
        self.received = 0
        self.sent = 0
        self.link_batches = 0
        self.link_envelopes = 0
        self.link_resends = 0
        self.link_polls = 0
        self.link_early = 0
        self.link_repeats = 0
        self.unreadable = 0
        self.resyncs = 0
        self.given_up = 0
        self.worker_deaths = 0
        self.closed: Tally[int] = Tally()
        self.refused: Tally[str] = Tally()
        self.sends: Tally[str] = Tally()
        self.api_requests: Tally[tuple[str, int]] = Tally()
        self.dispatches: Tally[tuple[str, str]] = Tally()
        self.dispatch_waits: Tally[str] = Tally()
        self.handler_seconds = Seconds()
        self.answer_seconds = FrequentSeconds()
        self.roundtrip_seconds = Seconds()
        self.loop_lag_seconds = Seconds()

    def count_send(self, receipt: str) -> None:
        self.sends[receipt] += 1

    def count_api_request(self, method: str, status: int) -> None:
        self.api_requests[method, status] += 1

    def count_worker_death(self) -> None:
        self.worker_deaths += 1

    def count_given_up(self, count: int) -> None:
        self.given_up += count

    def fold(self) -> None:
        """Move everything into prometheus_client and begin anew; and tell what the process uses."""
        _USE.fold()
        for counter, name in _PLAIN:
            if count := getattr(self, name):
                counter.inc(count)
        for code, count in self.closed.items():
            CLOSED.labels(code=close_code_label(code)).inc(count)
        for reason, count in self.refused.items():
            REFUSED.labels(reason=reason).inc(count)
        for receipt, count in self.sends.items():
            SENDS.labels(receipt=receipt).inc(count)
        for (method, status), count in self.api_requests.items():
            API_REQUESTS.labels(method=method, status=status).inc(count)
        for (path, outcome), count in self.dispatches.items():
            DISPATCHES.labels(path=path, outcome=outcome).inc(count)
        for where, count in self.dispatch_waits.items():
            DISPATCH_WAITS.labels(where=where).inc(count)
        self.handler_seconds.fold_into(HANDLER_SECONDS)
        self.answer_seconds.fold_into(ANSWER_SECONDS)
        self.roundtrip_seconds.fold_into(ROUNDTRIP_SECONDS)
        self.loop_lag_seconds.fold_into(LOOP_LAG_SECONDS)
        self.__init__()  # type: ignore[misc]  # begins anew


_PLAIN: Final = (
    (OPENED, "opened"),
    (RECEIVED, "received"),
    (SENT, "sent"),
    (LINK_BATCHES, "link_batches"),
    (LINK_ENVELOPES, "link_envelopes"),
    (LINK_RESENDS, "link_resends"),
    (LINK_POLLS, "link_polls"),
    (LINK_EARLY, "link_early"),
    (LINK_REPEATS, "link_repeats"),
    (UNREADABLE, "unreadable"),
    (RESYNCS, "resyncs"),
    (GIVEN_UP, "given_up"),
    (WORKER_DEATHS, "worker_deaths"),
)


def count_redis_error(kind: str) -> None:
    REDIS_ERRORS.labels(kind=kind).inc()


def begin(*, version: str, max_connections: int, max_handlers: int) -> None:
    """What is there from a worker's start on: its limits, its version, and counters at 0."""
    for counter, values in KNOWN_LABELS:
        for labels in product(*values):
            counter.labels(*labels)
    BUILD_INFO.labels(version=version, python=python_version()).set(1)
    MAX_CONNECTIONS.set(max_connections)
    MAX_HANDLERS.set(max_handlers)


def close_code_label(code: int) -> str:
    """A label that cannot grow with what clients and applications choose."""
    return str(code) if code in OWN_CLOSE_CODES else f"{code // 1000}xxx"


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
