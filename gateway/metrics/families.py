"""What is measured: every metric, and every value of a label that is known in advance.

Names and meanings: docs/reference/metrics.md; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from platform import python_version
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from gateway import close_codes

OWN_CLOSE_CODES: Final = {*range(1000, 1016), *(close.code for close in close_codes.EVERY)}

CONNECTIONS = Gauge("gateway_connections", "Open connections.", multiprocess_mode="livesum")
WORKERS = Gauge(
    "gateway_workers", "Workers that are believed to live.", multiprocess_mode="livemax"
)
HANDLER_WORKERS = Gauge(
    "gateway_handler_workers",
    "Living workers that take new messages to handle.",
    multiprocess_mode="livemax",
)
HANDLER_TARGETS = Gauge(
    "gateway_handler_targets",
    "Handler workers that an edge takes messages to; of that edge which has most.",
    multiprocess_mode="livemax",
)
EDGES_WITHOUT_HANDLERS = Gauge(
    "gateway_edges_without_handlers",
    "Edges that have no handler worker to take messages to.",
    multiprocess_mode="livesum",
)
PRESENCE_MEMBERS = Gauge(
    "gateway_presence_members",
    "Members of channels with presence, each once a channel.",
    multiprocess_mode="livesum",
)
PRESENCE_FAILING = Gauge(
    "gateway_presence_failing",
    "Workers whose members of channels Redis does not take.",
    multiprocess_mode="livesum",
)
OUTBOX_BYTES = Gauge(
    "gateway_outbox_bytes", "Bytes that wait for slow sockets.", multiprocess_mode="livesum"
)
PROBE_AGE = Gauge(
    "gateway_canary_age_seconds",
    "Seconds since the last loopback probe came back.",
    multiprocess_mode="livemax",
)
REDIS_UNLOCATED = Gauge(
    "gateway_redis_unlocated",
    "Workers that nobody tells where Redis is: no Sentinel, or no node of the Cluster.",
    multiprocess_mode="livesum",
)
SENTINELS_AWAY = Gauge(
    "gateway_redis_sentinels_away", "Sentinels that do not answer.", multiprocess_mode="livemax"
)
QUORUM_LOST = Gauge(
    "gateway_redis_quorum_lost",
    "Workers whose Sentinels all say that they could promote no replica.",
    multiprocess_mode="livesum",
)
SLOTS_UNCOVERED = Gauge(
    "gateway_redis_slots_uncovered",
    "Slots of the Cluster that no master has.",
    multiprocess_mode="livemax",
)
MASTER_AWAY = Gauge(
    "gateway_redis_master_away",
    "Workers that cannot publish to this master of the Cluster.",
    ["master"],
    multiprocess_mode="livesum",
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
HANDLERS_RUNNING = Gauge(
    "gateway_handlers_running",
    "Handlers that have begun and not ended.",
    multiprocess_mode="livesum",
)
MAX_CHANNELS = Gauge(
    "gateway_max_channels",
    "Channels that the workers of this port take.",
    multiprocess_mode="livesum",
)
WORKER_USE = Gauge(
    "gateway_worker_use_ratio",
    "What a worker has of what it may have; of that worker of this port which has most.",
    ["of"],
    multiprocess_mode="livemax",
)
BUILD_INFO = Gauge(
    "gateway_build_info",
    "Always 1: which version of the gateway runs, and on which Python.",
    ["version", "python"],
    multiprocess_mode="livemax",
)
REGISTRY_WAITING = Gauge(
    "gateway_registry_waiting",
    "Questions about users and connections that wait for their turn.",
    ["of"],
    multiprocess_mode="livesum",
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
API_RESULTS = Counter(
    "gateway_api_results_total",
    "What became of each command of a batch, and in each channel of a broadcast.",
    ["command", "status"],
)
REGISTRY_BUSY = Counter(
    "gateway_registry_busy_total",
    "Questions about users and connections whose turn did not come in time.",
)
REGISTRY_UNANSWERED = Counter(
    "gateway_registry_unanswered_total",
    "Questions about users and connections that Redis has not answered, with those behind them.",
)
ADMIN_KEYS_REFUSED = Counter(
    "gateway_admin_keys_refused_total", "Keys shown at the admin page's socket that are none."
)
DISPATCHES = Counter(
    "gateway_dispatches_total", "Messages handed to a handler.", ["path", "outcome"]
)
ANSWERS_NOT_TAKEN = Counter(
    "gateway_answers_not_taken_total", "Answers at which the session of a connection has failed."
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

SUBSCRIPTIONS = Gauge(
    "gateway_subscriptions", "Connections in channels.", multiprocess_mode="livesum"
)
CHANNELS = Gauge(
    "gateway_channels", "Channels that the workers have subscribed.", multiprocess_mode="livesum"
)
PUBLICATIONS = Counter("gateway_publications_total", "Publications asked of this port.")
PUBLICATIONS_FAILED = Counter(
    "gateway_publications_failed_total",
    "Publications, joins and leaves that were not sent, or of which nobody knows.",
    ["why"],
)
DELIVERIES = Counter("gateway_deliveries_total", "Publications given to connections.")
RECOVERIES = Counter(
    "gateway_recoveries_total", "Subscriptions that wanted what they had missed.", ["outcome"]
)
CHANNEL_GAPS = Counter(
    "gateway_channel_gaps_total", "Times that a worker missed publications of a channel.", ["why"]
)
CHANNEL_RESYNCS = Counter("gateway_channel_resyncs_total", "Gaps in the subscriptions to channels.")
CHANNELS_REFUSED = Counter(
    "gateway_channels_refused_total", "Subscriptions refused: their worker is full of channels."
)
KEY_SET_FETCHES = Counter(
    "gateway_key_set_fetches_total", "Times that a JWKS was fetched.", ["key_set", "outcome"]
)

SPANS = Counter(
    "gateway_spans_total", "Spans of sampled traces that were to be exported.", ["outcome"]
)

SECONDS_BUCKETS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
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

PUBLICATION_FAILURES: Final = ("not_connected", "full", "refused", "unknown")

# Every value of a label that is known in advance. A counter that appears with its first count has
# no rate yet: an alert would miss it, and on a good day every failure is the first.
KNOWN_LABELS: Final[tuple[tuple[Counter, tuple[Iterable[str], ...]], ...]] = (
    (CLOSED, ((*map(str, sorted(OWN_CLOSE_CODES)), "3xxx", "4xxx"),)),
    (REFUSED, ((
        "address", "channels", "handler_failed", "handshake_rate", "host", "max_connections",
        "no_handler", "not_ready", "open_files", "origin", "protobuf", "request", "role",
        "subprotocols", "token", "token_expired", "token_keys",
    ),)),
    (SENDS, (("written", "gone", "slow", "unreachable"),)),
    (API_REQUESTS, (
        ("GET", "POST", "DELETE", "other"),
        ("200", "204", "400", "401", "403", "404", "405", "410", "413", "429", "500", "503"),
    )),
    (API_RESULTS, (
        (
            "publish", "broadcast", "send", "send_to_user", "disconnect", "disconnect_user",
            "subscribe", "unsubscribe", "unreadable",
        ),
        ("200", "204", "400", "404", "410", "413", "429", "500", "503"),
    )),
    (REDIS_ERRORS, ((
        "moved", "memory", "wrongtype", "permission", "script", "busy", "storage", "garbage",
        "other",
    ),)),
    (DISPATCHES, (("local", "remote"), ("answered", "failed", "moved"))),
    (DISPATCH_WAITS, (("worker", "link"),)),
    (RECOVERIES, (("recovered", "not_recovered"),)),
    (CHANNEL_GAPS, (("gap", "other_epoch", "lost_tail", "unknown"),)),
    (PUBLICATIONS_FAILED, (PUBLICATION_FAILURES,)),
    (SPANS, (("exported", "failed", "dropped"),)),
    (KEY_SET_FETCHES, (("client.token", "client.subscription_token"), ("fetched", "failed"))),
)  # fmt: skip


def count_redis_error(kind: str) -> None:
    REDIS_ERRORS.labels(kind=kind).inc()


def count_publication_failed(why: str) -> None:
    PUBLICATIONS_FAILED.labels(why=why).inc()


def count_key_set_fetch(key_set: str, *, failed: bool) -> None:
    KEY_SET_FETCHES.labels(key_set=key_set, outcome="failed" if failed else "fetched").inc()


def count_spans(outcome: str, spans: int) -> None:
    SPANS.labels(outcome=outcome).inc(spans)


def begin(*, version: str, max_connections: int, max_handlers: int, max_channels: int) -> None:
    """What is there from a worker's start on: its limits, its version, and counters at 0."""
    for counter, values in KNOWN_LABELS:
        for labels in product(*values):
            counter.labels(*labels)
    BUILD_INFO.labels(version=version, python=python_version()).set(1)
    MAX_CONNECTIONS.set(max_connections)
    MAX_HANDLERS.set(max_handlers)
    MAX_CHANNELS.set(max_channels)


def close_code_label(code: int) -> str:
    """A label that cannot grow with what clients and applications choose."""
    return str(code) if code in OWN_CLOSE_CODES else f"{code // 1000}xxx"
