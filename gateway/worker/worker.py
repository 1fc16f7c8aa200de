"""One worker's life, from start to drain."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from gateway import log as logs
from gateway import metrics
from gateway.broker.base import Broker
from gateway.channel_broker.base import ChannelBroker
from gateway.channels.shared_namespaces import keep_shared
from gateway.errors import GatewayError
from gateway.handlers.definitions import Handlers
from gateway.log import get_logger
from gateway.presence.base import PresenceStore
from gateway.protocol.ids import WorkerId
from gateway.registry.base import Registry
from gateway.settings.config import Settings
from gateway.settings.version import __version__
from gateway.tracing.variants import PLAIN, Variants
from gateway.worker.composition import WorkerParts
from gateway.worker.drain import Drain
from gateway.worker.health import PortHealth
from gateway.worker.housekeeping import Housekeeping

log = get_logger(__name__)

EVERYONE_S: Final = 1.0  # how long a start waits for the channel of all workers


class PartEnded(GatewayError):
    """An essential task returned. A TaskGroup alone would take that for success."""

    code = "part_ended"


class Worker:
    """One worker of the gateway. Make it inside the event loop that runs it.

    Attributes:
        parts: What it is made of.
        readiness: Whether it takes new connections.
        on_exit: Called when this worker cannot go on: it is fenced, deaf, or a part of it ended.
            Whoever serves it should stop it then. By default the process gets a SIGTERM.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Handlers,
        broker: Broker,
        registry: Registry,
        channel_broker: ChannelBroker,
        *,
        presence_store: PresenceStore,
        health: PortHealth | None = None,
        me: WorkerId,
        now: Callable[[], float] = time.monotonic,
        variants: Variants = PLAIN,
    ) -> None:
        self.me = me
        self._flush = variants.flush
        self.on_exit: Callable[[], None] = lambda: signal.raise_signal(signal.SIGTERM)
        self.parts = WorkerParts(
            settings,
            handlers,
            broker,
            registry,
            channel_broker,
            presence_store=presence_store,
            me=me,
            health=health or PortHealth(None),
            cannot_go_on=self._exit,
            now=now,
            variants=variants,
        )
        self.readiness = self.parts.readiness
        self._housekeeping = Housekeeping(self.parts)

    @property
    def ready(self) -> bool:
        """Whether this worker takes new connections."""
        return self.readiness.ready

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Worker]:
        """Run the worker's parts around the block. Drain first, if it is to end kindly."""
        parts, settings = self.parts, self.parts.settings
        logs.bind_worker(self.me)
        log.info("worker starts", role=settings.role, pid=os.getpid())
        metrics.begin(
            version=__version__,
            max_connections=parts.admission.max_connections,
            max_handlers=settings.handler_concurrency if parts.info().handler else 0,
            max_channels=settings.max_channels,
        )
        task = asyncio.create_task(self._run(), name="worker")
        task.add_done_callback(self._stopped)
        try:
            yield self
        finally:
            self.readiness.exiting = True
            self.readiness.report()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await parts.requests_to_owners.aclose()
            self._housekeeping.fold()
            await parts.registry.aclose()
            await parts.presence_store.aclose()
            await self._flush()
            log.info("worker stopped")

    async def drain(self) -> None:
        """Leave on purpose within ``drain_seconds``. Afterwards nothing is owed to anybody."""
        if self.readiness.draining:
            return
        self.readiness.draining = True
        self.readiness.report()
        parts, cluster = self.parts, self.parts.cluster
        alive = not cluster.lease_guard.is_fenced and not self.readiness.exiting
        leaving = partial(cluster.membership.say, parts.info(leaving=True))
        await Drain(parts).run(parts.settings.drain_seconds, say_leaving=leaving if alive else None)

    async def _run(self) -> None:
        """Run until cancelled. If any part ends, for any reason, all stop and this raises."""
        parts, settings = self.parts, self.parts.settings
        async with asyncio.TaskGroup() as tasks:
            for name, part in (
                ("broker", parts.broker.run(parts.inbox)),
                ("channels", parts.channels.run()),
                ("presence", parts.stored_presence.run()),
                ("namespaces", keep_shared(parts.channel_broker, settings.channel)),
                ("links", parts.links.run()),
                ("registration", parts.cluster.registration.run()),
                ("handlers", parts.runner.run()),
                ("membership", self._join()),
                ("housekeeping", self._housekeeping.run()),
                ("loop watch", parts.loop_watch.run()),
            ):
                tasks.create_task(self._essential(name, part), name=name)

    async def _essential(self, name: str, part: Awaitable[None]) -> None:
        try:
            await part
        finally:
            # Not ready while the siblings are still stopping.
            self.parts.cluster.lease_guard.unregister()
        raise PartEnded(name)

    async def _join(self) -> None:
        """Be reachable first, then be known.

        What is said to everyone is as good as known without it: leases tell of it, later. So a
        worker needs no more of a Cluster than its inbox and its lease.
        """
        parts = self.parts
        await parts.broker.subscribe(parts.inbox_channel)
        try:
            async with asyncio.timeout(EVERYONE_S):
                await parts.broker.subscribe(parts.everyone)
        except TimeoutError:  # it is subscribed once that can be done
            where = parts.broker.where(parts.everyone)
            log.warning("hints to all workers not subscribed yet", where=where)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(parts.cluster.membership.run(), name="leases")
            tasks.create_task(parts.cluster.loopback_probe.run(), name="loopback probe")

    def _stopped(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("worker failed", exc_info=error)
            self._exit("part ended")

    def _exit(self, why: str) -> None:
        if not self.readiness.exiting:
            log.error("worker exits", why=why)
            self.readiness.exiting = why == "part ended"
            self.on_exit()
