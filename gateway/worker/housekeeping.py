"""What a worker looks after twice a second, busy or not."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from gateway import metrics
from gateway.edge.connection import ClientConnection
from gateway.log import get_logger
from gateway.worker.composition import WorkerParts

log = get_logger(__name__)

INTERVAL_S: Final = 0.5
SLICE: Final = 1000  # connections that are checked within one turn of the loop: some 0.3 ms


class Housekeeping:
    """Ends what has waited for too long, and shows how things are: metrics, readiness."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self._masters: set[str] = set()  # of a Cluster, as of the last time

    async def run(self) -> None:
        """Keep house until cancelled."""
        parts = self._parts
        while True:
            parts.cluster.lease_guard.check_lease()
            await self._check_connections()
            parts.cluster.outage_limit.give_up_waiting()
            parts.owner_receipts.forget_old()
            self.fold()
            parts.readiness.report()
            parts.admin.live_report.look_in()
            await asyncio.sleep(INTERVAL_S)

    def fold(self) -> None:
        """Bring the metrics up to now."""
        parts = self._parts
        metrics.CONNECTIONS.set(parts.admission.connections)
        metrics.WORKERS.set(len(parts.members.known))
        metrics.HANDLER_WORKERS.set(len(parts.members.handlers))
        takes, targets = parts.members.known[parts.members.me].edge, len(parts.members.targets)
        metrics.HANDLER_TARGETS.set(targets if takes else 0)
        metrics.EDGES_WITHOUT_HANDLERS.set(takes and not targets)
        metrics.HANDLERS_RUNNING.set(parts.runner.running)
        metrics.PROBE_AGE.set(parts.cluster.loopback_probe.age_s)
        metrics.SUBSCRIPTIONS.set(parts.channels.subscriptions)
        metrics.CHANNELS.set(len(parts.channels))
        metrics.PRESENCE_MEMBERS.set(len(parts.presence))
        metrics.PRESENCE_FAILING.set(parts.stored_presence.failing)
        metrics.REGISTRY_WAITING.labels(of="batches").set(parts.users_of_batches.waiting)
        metrics.REGISTRY_WAITING.labels(of="others").set(parts.requests_to_users.waiting)
        self._fold_use()
        self._fold_reach()
        parts.admin.live_report.count(parts.counters)
        parts.counters.fold()

    def _fold_use(self) -> None:
        """One worker that is full is lost in the sums of its port."""
        parts, settings = self._parts, self._parts.settings
        for of, has, most in (
            ("connections", parts.admission.connections, parts.admission.max_connections),
            ("handlers", parts.runner.running, settings.handler_concurrency),
            ("channels", len(parts.channels), settings.max_channels),
        ):
            metrics.WORKER_USE.labels(of=of).set(has / most if most else 0)

    def _fold_reach(self) -> None:
        reach = self._parts.broker.reach()
        metrics.REDIS_UNLOCATED.set(reach.unlocated)
        metrics.SENTINELS_AWAY.set(reach.sentinels_away)
        metrics.QUORUM_LOST.set(reach.quorum_lost)
        metrics.SLOTS_UNCOVERED.set(reach.slots_uncovered)
        for master, away in reach.masters_away.items():
            metrics.MASTER_AWAY.labels(master=master).set(away)
        for master in self._masters - reach.masters_away.keys():
            # It has no slots any more. One worker that knows is enough: the sum is no number.
            metrics.MASTER_AWAY.labels(master=master).set(math.nan)
        self._masters = {*reach.masters_away}

    async def _check_connections(self) -> None:
        waiting_bytes = 0
        for number, connection in enumerate(self._parts.hub, 1):
            if isinstance(connection, ClientConnection):
                try:
                    waiting_bytes += connection.check_progress(self._parts.now())
                except Exception:  # the others are looked at, and this goes on
                    log.exception("connection not checked", connection_id=connection.id)
            if number % SLICE == 0:
                await asyncio.sleep(0)  # what has come in meanwhile goes first
        metrics.OUTBOX_BYTES.set(waiting_bytes)
