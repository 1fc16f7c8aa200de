"""How long messages wait while Redis is away, or the part of it that leads to one worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.cluster.lease_guard import LeaseGuard
from gateway.cluster.loopback_probe import LoopbackProbe
from gateway.errors import BrokerAway
from gateway.handlers.dispatcher import Dispatcher
from gateway.messaging.hub import Hub
from gateway.messaging.links import Links
from gateway.protocol.ids import WorkerId
from gateway.protocol.members import Members

AVOIDED_AFTER_S: Final = 5.0  # by then a replica has taken over, where there is one


class OutageLimit:
    """Messages wait only so long, for a handler as for the broker."""

    def __init__(
        self,
        *,
        lease_guard: LeaseGuard,
        loopback_probe: LoopbackProbe,
        members: Members,
        links: Links,
        dispatcher: Dispatcher,
        hub: Hub,
        now: Callable[[], float],
    ) -> None:
        self._lease_guard = lease_guard
        self._loopback_probe = loopback_probe
        self._members = members
        self._links = links
        self._dispatcher = dispatcher
        self._hub = hub
        self._now = now
        self._well_at = now()
        # Handling workers to which nothing leaves, since when: of a Cluster, a master may be away.
        self._unreached: dict[WorkerId, float] = {}

    def give_up_waiting(self) -> None:
        """Called now and then: what has waited for too long is answered, or its socket closed.

        A handling worker that has not been reached for a while is asked for nothing new as long as
        there are others. What it was asked before it may be handling: that waits for it.
        """
        now, dispatcher = self._now(), self._dispatcher
        well = self._loopback_probe.ready and self._lease_guard.may_act
        if well:
            self._well_at = now
        away = now - self._well_at >= dispatcher.patience_s
        self._look_for_unreached(now)
        # Where this worker itself is cut off, nobody else is reached better.
        if self._members.avoid(self._unreached_for(AVOIDED_AFTER_S) if well else frozenset()):
            dispatcher.workers_changed()
        unreached = self._unreached_for(dispatcher.patience_s)
        for connection in dispatcher.give_up_waiting(away=away, unreached=unreached):
            local = self._hub.get(connection)
            if local is not None:
                local.disconnect(BrokerAway.close_code, BrokerAway.reason)

    def _look_for_unreached(self, now: float) -> None:
        self._unreached = {
            worker: self._unreached.get(worker, now)
            for worker in self._members.handlers
            if not self._links.reaches(worker)
        }

    def _unreached_for(self, seconds: float) -> frozenset[WorkerId]:
        before = self._now() - seconds
        return frozenset([worker for worker, at in self._unreached.items() if at <= before])
