"""Whether a worker takes new connections, and how long whoever comes a moment early waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.cluster.application_callbacks import Callbacks
from gateway.cluster.lease_guard import LeaseGuard
from gateway.cluster.loopback_probe import LoopbackProbe
from gateway.cluster.registration import Registration
from gateway.log import get_logger
from gateway.protocol.deadlines import START_S
from gateway.worker.health import PortHealth
from gateway.worker.waiting import until

log = get_logger(__name__)

SOON_S: Final = 2.0


class Readiness:
    """One worker's readiness.

    Args:
        inbox_at: Who has its inbox, for people.
        registry_at: Who has leases and registry.

    Attributes:
        draining: It leaves, or has left.
        exiting: It ends, whatever is left to do.
    """

    def __init__(
        self,
        *,
        lease_guard: LeaseGuard,
        callbacks: Callbacks,
        loopback_probe: LoopbackProbe,
        registration: Registration,
        health: PortHealth,
        inbox_at: Callable[[], str],
        registry_at: Callable[[], str],
    ) -> None:
        self._lease_guard = lease_guard
        self._callbacks = callbacks
        self._loopback_probe = loopback_probe
        self._registration = registration
        self._health = health
        self._inbox_at, self._registry_at = inbox_at, registry_at
        self._starting = True
        self.draining = False
        self.exiting = False

    @property
    def ready(self) -> bool:
        """Whether this worker takes new connections."""
        return (
            self._lease_guard.is_acting
            and self._loopback_probe.ready
            and self._registration.keeps_up
            and not self._ends
        )

    @property
    def waits_for(self) -> dict[str, str]:
        """What of Redis it is not ready for want of, and who has that."""
        lacking = {}
        if not self._loopback_probe.ready:
            lacking["inbox"] = self._inbox_at()
        if not self._lease_guard.is_acting:
            lacking["lease"] = self._registry_at()
        if not self._registration.keeps_up:
            lacking["registry"] = self._registry_at()
        return lacking

    @property
    def port_ready(self) -> bool:
        """Whether any worker of the same port is ready: whoever is told so is let in."""
        if self.ready:
            return True
        self.report()  # what it has reported last may be half a second old
        return self._health.any_ready()

    async def must_decide(self) -> bool | None:
        """Whether ``on_connect`` must be asked (``Callbacks.must_decide``)."""
        return await self._callbacks.must_decide()

    async def started(self) -> None:
        """Wait until this worker can serve, ``START_S`` at most: Redis may be away.

        A server that waits for this before it listens refuses nobody whom it could serve.
        """
        deadline = asyncio.get_running_loop().time() + START_S
        try:
            if not await until(lambda: self.ready or self._ends, deadline):
                log.warning("worker not ready yet", after_s=START_S, waits_for=self.waits_for)
        finally:
            self._starting = False
            self.report()

    async def soon(self) -> bool:
        """Whether this worker is ready, perhaps after a moment that is worth waiting for.

        That is while it starts, or when a worker of the same port is ready: whoever was told so
        cannot choose which of them accepts. Otherwise the answer comes at once.
        """
        if self.ready:
            return True
        self.report()
        if self._ends or not (self._starting or self._health.any_ready()):
            return False
        wait_s = START_S if self._starting else SOON_S
        await until(lambda: self.ready or self._ends, asyncio.get_running_loop().time() + wait_s)
        return self.ready

    def report(self) -> None:
        """Tell the other workers of the port; called about twice a second."""
        self._health.report(ready=self.ready)

    @property
    def _ends(self) -> bool:
        return self.draining or self.exiting
