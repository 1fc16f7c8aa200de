"""How this worker is, told once a second in a channel of the gateway's own while somebody looks,
and what it learns of the others, as it learns it.

Nobody looks: it costs an addition of a few numbers twice a second, and nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import msgspec

from gateway.metrics import Counters
from gateway.protocol.channel_messages import PublicationBody, encode
from gateway.protocol.envelopes.reporting import Watched
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.reports import REPORTS, Reporting, Totals, WorkerState

State = Mapping[str, object]
_to_json = msgspec.json.Encoder().encode


class Peers(Protocol):
    """Tells another worker once, unreliably (``gateway.messaging.links.Links.tell``)."""

    def tell(self, peer: WorkerId, envelope: Watched) -> None: ...


class LiveReport:
    """Reports of one worker, and the wish of its own page for those of the others.

    Args:
        peers: Who report if they are told that somebody looks; without this worker.
        state: How it is now, for people: it is published as it is.
        info_of: What a worker that is believed in says of itself.
        subscribers: How many pages look here.
        publish: Puts a body into a channel; what it returns may fail.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        me: WorkerId,
        *,
        links: Peers,
        peers: Callable[[], Collection[WorkerId]],
        state: Callable[[], State],
        info_of: Callable[[WorkerId], WorkerInfo | None],
        subscribers: Callable[[], int],
        publish: Callable[[str, bytes], asyncio.Future[Any]],
        now: Callable[[], float],
    ) -> None:
        self._me = me
        self._links = links
        self._peers = peers
        self._state = state
        self._info_of = info_of
        self._subscribers = subscribers
        self._publish = publish
        self._now = now
        self._reporting = Reporting()
        self._totals = Totals()
        self._changes: list[State] = []  # of this turn of the loop

    def count(self, counters: Counters) -> None:
        """Before they begin anew: what was counted belongs to this worker's totals."""
        dispatches = counters.dispatches
        self._totals.add({
            "received": counters.received,
            "handled": sum(n for (_, how), n in dispatches.items() if how == "answered"),
            "pushes": counters.sends["written"],
            "publications": counters.publications,
            "deliveries": counters.deliveries,
        })  # fmt: skip

    def watched(self) -> None:
        """Somebody looks, here or at another worker."""
        self._reporting.watched(self._now())

    def worker_became(self, worker: WorkerId, became: WorkerState) -> None:
        """Tell the pages of this worker what another has become, with all others of this turn.

        Every worker learns the same: those without a page keep quiet, except of what nobody else
        knows.
        """
        if became == "swept":
            looked_at = self._reporting.is_watched(self._now())
        else:
            looked_at = bool(self._subscribers())
        if not looked_at:
            return
        if not self._changes:
            asyncio.get_running_loop().call_soon(self._tell_changes)
        change: dict[str, object] = {"id": worker, "state": became}
        if info := self._info_of(worker):
            change |= {"role": info.role, "host": info.host, "pid": info.pid}
        self._changes.append(change)

    def look_in(self) -> None:
        """Called twice a second."""
        now = self._now()
        if self._reporting.must_ask(now, subscribers=self._subscribers()):
            self._reporting.watched(now)
            for peer in self._peers():
                self._links.tell(peer, Watched(self._me))
        if self._reporting.must_report(now):
            self._report(now)

    def _report(self, now: float) -> None:
        report = {
            "worker": self._me,
            **self._state(),
            "totals": self._totals.counted,
            "rates": self._totals.rates(now),
        }
        self._put(report)

    def _tell_changes(self) -> None:
        changes, self._changes = self._changes, []
        self._put({"changes": changes})

    def _put(self, told: Mapping[str, object]) -> None:
        done = self._publish(REPORTS, encode(PublicationBody(_to_json(told))))
        done.add_done_callback(_untold)


def _untold(told: asyncio.Future[Any]) -> None:
    """The next report, or look at the leases, says more than a repetition would."""
    if not told.cancelled():
        told.exception()
