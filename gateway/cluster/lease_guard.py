"""A worker's standing among the others: who they are to it, and whether it may act at all.

A worker that has not renewed its lease for as long as a lease lasts may have been replaced. It
*holds*: it takes nothing from its links and starts no handler, until Redis says what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.cluster.loopback_probe import LoopbackProbe
from gateway.cluster.registration import Registration
from gateway.cluster.sweep import Sweep
from gateway.errors import BrokerAway
from gateway.handlers.dispatch import Dispatcher
from gateway.handlers.runner import Runner
from gateway.log import get_logger
from gateway.messaging.hub import Hub
from gateway.messaging.links import Links
from gateway.messaging.owner_requests import OwnerRequests
from gateway.protocol.ids import WorkerId
from gateway.protocol.members import Members, WorkerInfo
from gateway.registry.base import Registry

log = get_logger(__name__)

DECISION_PATIENCE_S: Final = 10.0


class LeaseGuard:
    """Acts on what membership learns (``gateway.cluster.membership.Watcher``).

    Attributes:
        registered: This worker's lease has been written.
        holding: It may have been replaced.
        is_buried: It has been.
        wants_disconnects: Whether the application has an ``on_disconnect``; None when no handler
            worker has been seen yet.
    """

    def __init__(
        self,
        *,
        members: Members,
        links: Links,
        runner: Runner,
        dispatcher: Dispatcher,
        owner_requests: OwnerRequests,
        registration: Registration,
        loopback_probe: LoopbackProbe,
        hub: Hub,
        registry: Registry,
        replaced: Callable[[], None],
        given_up: Callable[[int], None],
        now: Callable[[], float],
    ) -> None:
        self._members = members
        self._links = links
        self._runner = runner
        self._dispatcher = dispatcher
        self._owner_requests = owner_requests
        self._registration = registration
        self._loopback_probe = loopback_probe
        self._hub = hub
        self._registry = registry
        self._replaced = replaced
        self._given_up = given_up
        self._now = now
        self._releasing = False
        self._retired = False
        self._well_at = now()
        self._decides: bool | None = None
        self._decider_seen = asyncio.Event()
        self.registered = False
        self.holding = False
        self.is_buried = False
        self.wants_disconnects: bool | None = None
        links.lost = self._link_lost
        links.relieved = self._relieved
        runner.before_stint = self.check_lease

    async def must_decide(self) -> bool | None:
        """Whether ``on_connect`` must be asked; None when no handler worker has been seen yet.

        With no handler worker alive the last answer stands: a connection is never opened past a
        decision that the application would have wanted to make.
        """
        if self._decides is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DECISION_PATIENCE_S):
                    await self._decider_seen.wait()
        return self._decides

    def leave_undecided(self) -> None:
        """This worker leaves: no handshake waits for a handler worker any more."""
        self._decider_seen.set()

    # Holding

    def check_lease(self) -> None:
        """Called often, and before anything is taken from the inbox: hold if the lease lapsed."""
        if self.registered and not self.holding and self._members.lapsed(self._now()):
            log.warning("lease lapsed: handling stops until it is renewed")
            self._hold()

    def renewed(self) -> None:
        self.registered = True
        if self.holding and not self._releasing:
            # What is older than that canary was sent to a worker that others may have replaced.
            self._releasing = True
            self._loopback_probe.after_next(self._release)

    def buried(self) -> None:
        self.is_buried = True
        self._registration.seal()
        self._hold()
        self._runner.cancel_all()
        self._replaced()

    def retire(self) -> None:
        """The lease is about to go: what comes from now on is moved by its edge, not run here."""
        self._retired = True
        self._runner.hold()

    def _hold(self) -> None:
        self.holding = True
        self._links.hold()
        self._runner.hold()

    def _release(self) -> None:
        if self.is_buried or self._retired:
            return
        if self._members.lapsed(self._now()):
            # The canary took longer than the lease: others may have moved on again. The next
            # renewal asks anew.
            self._releasing = False
            return
        log.warning("lease renewed: handling goes on")
        self.holding = self._releasing = False
        self._links.release()
        self._runner.release()

    def give_up_waiting(self) -> None:
        """Called now and then: messages wait only so long, for a handler as for the broker."""
        now, dispatcher = self._now(), self._dispatcher
        if self._loopback_probe.ready and not self.holding:
            self._well_at = now
        away = now - self._well_at >= dispatcher.patience_s
        for connection in dispatcher.give_up_waiting(away=away):
            member = self._hub.get(connection)
            if member is not None:
                member.disconnect(BrokerAway.close_code, BrokerAway.reason)

    # Workers come and go

    def worker_joined(self, worker: WorkerId, info: WorkerInfo) -> None:
        self._links.revive(worker)
        self._links.speaks(worker, info.envelope_version)

    def worker_gone(self, worker: WorkerId) -> None:
        self._links.end(worker)
        self._owner_requests.worker_gone(worker)
        self._runner.edge_gone(worker)
        self._dispatcher.worker_gone(worker)

    def workers_changed(self) -> None:
        infos = [self._members.known[worker] for worker in self._members.handlers]
        if infos:
            # With no handler worker alive the last answers stand: it will be back.
            self._decides = any(info.on_connect for info in infos)
            self.wants_disconnects = any(info.on_disconnect for info in infos)
            self._decider_seen.set()
        self._dispatcher.workers_changed()

    async def sweep(self, worker: WorkerId) -> bool:
        sweep = Sweep(
            self._members.me,
            worker,
            self._registry,
            self._hub,
            self._dispatcher,
            wanted=self._disconnects_wanted,
            leaving=lambda: self._members.known[self._members.me].leaving,
            given_up=self._given_up,
        )
        return await sweep.run()

    def _disconnects_wanted(self) -> bool | None:
        if self.wants_disconnects and not self._members.handlers:
            return None
        return self.wants_disconnects

    def _link_lost(self, peer: WorkerId) -> None:
        """``peer`` has given us up, and perhaps moved what we owed it: begin anew with it."""
        self._runner.edge_gone(peer)
        self._dispatcher.worker_gone(peer)

    def _relieved(self, peer: WorkerId) -> None:
        self._dispatcher.relieved(peer)
        self._runner.relieved(peer)
