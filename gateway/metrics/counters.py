"""How it is counted: in plain integers, which ``fold`` moves into prometheus_client.

A call of prometheus_client costs more than the rest of what a message is accounted for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from typing import Final

from prometheus_client import Histogram

from gateway.metrics import families, process_use
from gateway.metrics.families import SECONDS_BUCKETS, close_code_label

ALL_OF_THEM: Final = 128  # between two folds, which come twice a second
ONE_IN: Final = 8


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
        # than the rest of a message's accounting; tests/unit/metrics/test_metrics.py watches these
        # names.
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


class Counters:
    """What one worker has counted since the last fold."""

    __slots__ = (
        "admin_keys_refused",
        "answer_seconds",
        "answers_not_taken",
        "api_requests",
        "api_results",
        "channel_gaps",
        "channel_resyncs",
        "channels_refused",
        "closed",
        "deliveries",
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
        "publications",
        "received",
        "recoveries",
        "refused",
        "registry_busy",
        "registry_unanswered",
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
        self.publications = 0
        self.deliveries = 0
        self.channel_resyncs = 0
        self.channels_refused = 0
        self.admin_keys_refused = 0
        self.registry_busy = 0
        self.registry_unanswered = 0
        self.answers_not_taken = 0
        self.recoveries: Tally[str] = Tally()
        self.channel_gaps: Tally[str] = Tally()
        self.closed: Tally[int] = Tally()
        self.refused: Tally[str] = Tally()
        self.sends: Tally[str] = Tally()
        self.api_requests: Tally[tuple[str, int]] = Tally()
        self.api_results: Tally[tuple[str, int]] = Tally()
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

    def count_api_result(self, command: str, status: int) -> None:
        self.api_results[command, status] += 1

    def count_worker_death(self) -> None:
        self.worker_deaths += 1

    def count_registry_busy(self) -> None:
        self.registry_busy += 1

    def count_registry_unanswered(self, count: int) -> None:
        self.registry_unanswered += count

    def count_given_up(self, count: int) -> None:
        self.given_up += count

    def fold(self) -> None:
        """Move everything into prometheus_client and begin anew; and tell what the process uses."""
        process_use.fold()
        for counter, name in _PLAIN:
            if count := getattr(self, name):
                counter.inc(count)
        for code, count in self.closed.items():
            families.CLOSED.labels(code=close_code_label(code)).inc(count)
        for labelled, name in _LABELLED:
            for labels, count in getattr(self, name).items():
                values = labels if isinstance(labels, tuple) else (labels,)
                labelled.labels(*values).inc(count)
        self.handler_seconds.fold_into(families.HANDLER_SECONDS)
        self.answer_seconds.fold_into(families.ANSWER_SECONDS)
        self.roundtrip_seconds.fold_into(families.ROUNDTRIP_SECONDS)
        self.loop_lag_seconds.fold_into(families.LOOP_LAG_SECONDS)
        self.__init__()  # type: ignore[misc]  # begins anew


_PLAIN: Final = (
    (families.OPENED, "opened"),
    (families.RECEIVED, "received"),
    (families.SENT, "sent"),
    (families.LINK_BATCHES, "link_batches"),
    (families.LINK_ENVELOPES, "link_envelopes"),
    (families.LINK_RESENDS, "link_resends"),
    (families.LINK_POLLS, "link_polls"),
    (families.LINK_EARLY, "link_early"),
    (families.LINK_REPEATS, "link_repeats"),
    (families.UNREADABLE, "unreadable"),
    (families.RESYNCS, "resyncs"),
    (families.GIVEN_UP, "given_up"),
    (families.WORKER_DEATHS, "worker_deaths"),
    (families.PUBLICATIONS, "publications"),
    (families.DELIVERIES, "deliveries"),
    (families.CHANNEL_RESYNCS, "channel_resyncs"),
    (families.CHANNELS_REFUSED, "channels_refused"),
    (families.ADMIN_KEYS_REFUSED, "admin_keys_refused"),
    (families.REGISTRY_BUSY, "registry_busy"),
    (families.REGISTRY_UNANSWERED, "registry_unanswered"),
    (families.ANSWERS_NOT_TAKEN, "answers_not_taken"),
)

_LABELLED: Final = (
    (families.REFUSED, "refused"),
    (families.SENDS, "sends"),
    (families.API_REQUESTS, "api_requests"),
    (families.API_RESULTS, "api_results"),
    (families.DISPATCHES, "dispatches"),
    (families.DISPATCH_WAITS, "dispatch_waits"),
    (families.RECOVERIES, "recoveries"),
    (families.CHANNEL_GAPS, "channel_gaps"),
)
