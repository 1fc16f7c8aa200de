"""How long messages wait while Redis is away."""

from __future__ import annotations

from collections.abc import Callable

from gateway.cluster.lease_guard import LeaseGuard
from gateway.cluster.loopback_probe import LoopbackProbe
from gateway.errors import BrokerAway
from gateway.handlers.dispatcher import Dispatcher
from gateway.messaging.hub import Hub


class OutageLimit:
    """Messages wait only so long, for a handler as for the broker."""

    def __init__(
        self,
        *,
        lease_guard: LeaseGuard,
        loopback_probe: LoopbackProbe,
        dispatcher: Dispatcher,
        hub: Hub,
        now: Callable[[], float],
    ) -> None:
        self._lease_guard = lease_guard
        self._loopback_probe = loopback_probe
        self._dispatcher = dispatcher
        self._hub = hub
        self._now = now
        self._well_at = now()

    def give_up_waiting(self) -> None:
        """Called now and then: what has waited for too long is answered, or its socket closed."""
        now, dispatcher = self._now(), self._dispatcher
        if self._loopback_probe.ready and self._lease_guard.may_act:
            self._well_at = now
        away = now - self._well_at >= dispatcher.patience_s
        for connection in dispatcher.give_up_waiting(away=away):
            local = self._hub.get(connection)
            if local is not None:
                local.disconnect(BrokerAway.close_code, BrokerAway.reason)
