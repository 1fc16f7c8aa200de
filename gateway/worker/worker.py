"""One worker: its parts put together, its life from start to drain.

The composition root: the only place that knows every part. Parts know only those below them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from gateway import log as logs
from gateway import metrics
from gateway.broker.base import Broker
from gateway.cluster.cluster_parts import ClusterParts
from gateway.edge.admission import Admission
from gateway.edge.connection import ClientConnection
from gateway.edge.edge_parts import ConnectionLimits, EdgeParts
from gateway.edge.endpoint import SocketEndpoint
from gateway.edge.sessions.text import text_sessions
from gateway.errors import GatewayError
from gateway.handlers.dispatch import Dispatcher
from gateway.handlers.handling import Handling
from gateway.handlers.runner import Runner
from gateway.handlers.table import Handlers
from gateway.http_api.calls import Calls
from gateway.http_api.credentials import Credentials
from gateway.http_api.routes import Api
from gateway.log import get_logger
from gateway.messaging.hub import Hub
from gateway.messaging.links import Links
from gateway.messaging.owner_requests import OwnerRequests
from gateway.messaging.owner_responses import OwnerResponses
from gateway.messaging.router import Router
from gateway.messaging.user_requests import UserRequests
from gateway.metrics import Counters
from gateway.protocol.envelopes.wire import VERSION
from gateway.protocol.ids import RANDOM_BYTES_PER_WORKER_ID, WorkerId, worker_id
from gateway.protocol.members import Members, WorkerInfo
from gateway.protocol.rate import Rate
from gateway.redis_support import keys
from gateway.registry.base import Registry
from gateway.settings.config import Settings
from gateway.settings.version import __version__
from gateway.worker import receivers
from gateway.worker.blocking_report import SHARE_OF_LEASE, BlockingReport
from gateway.worker.drain import Drain
from gateway.worker.handshake_limits import limits
from gateway.worker.health import PortHealth
from gateway.worker.inbox import Inbox
from gateway.worker.loop_watch import LoopWatch
from gateway.worker.readiness import Readiness

log = get_logger(__name__)

HOUSEKEEPING_S: Final = 0.5


class PartEnded(GatewayError):
    """An essential task returned. A TaskGroup alone would take that for success."""

    code = "part_ended"


def new_worker_id() -> WorkerId:
    return worker_id(os.urandom(RANDOM_BYTES_PER_WORKER_ID))


class Worker:
    """One worker of the gateway. Make it inside the event loop that runs it.

    Attributes:
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
        *,
        health: PortHealth | None = None,
        me: WorkerId,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.me = me
        self.settings = settings
        self.counters = Counters()
        self.on_exit: Callable[[], None] = lambda: signal.raise_signal(signal.SIGTERM)
        self.hub = Hub()
        self.handlers = handlers
        self._broker = broker
        self._registry = registry
        self._health = health or PortHealth(None)
        self._now = now
        self._inbox_channel = keys.inbox(settings.redis_prefix, self.me)
        self._everyone = keys.everyone(settings.redis_prefix)
        self._put_together()

    def _put_together(self) -> None:
        settings, now = self.settings, self._now
        channel_of = partial(keys.inbox, settings.redis_prefix)
        self.members = Members(self.me, self._info(), lease_s=settings.lease_seconds, now=now())
        self.links = Links(
            self.me,
            self._broker,
            self.counters,
            channel_of=channel_of,
            everyone=self._everyone,
            now=now,
        )
        router = Router(self.links, self.members)
        self.owner_requests = OwnerRequests(
            router,
            self._registry.look,
            lease_s=settings.lease_seconds,
            count=self.counters.count_send,
        )
        self.user_requests = UserRequests(self.owner_requests, self._registry.of_user)
        self.owner_responses = OwnerResponses(
            self.hub, answer=router.receipt, holding=lambda: not self.lease_guard.may_act, now=now
        )
        self.runner = Runner(
            self.handlers,
            router,
            self.counters,
            seconds=settings.handler_seconds,
            concurrency=settings.handler_concurrency,
            now=now,
        )
        report_after_s = SHARE_OF_LEASE * settings.lease_seconds
        blocking = BlockingReport(
            self.me,
            self._broker,
            at_work=self.runner.at_work,
            channel_of=channel_of,
            deadline_s=report_after_s,
        )
        self._watch = LoopWatch(
            self.counters,
            entry=Handling.call.__code__,
            report=blocking.publish,
            report_after_s=report_after_s,
        )
        self.dispatcher = Dispatcher(
            self.members, self.links, self.counters, patience_s=settings.handler_seconds, now=now
        )
        self._inbox = Inbox(
            links=self.links, runner=self.runner, counters=self.counters, heard=self._heard
        )
        cluster = ClusterParts(
            members=self.members,
            broker=self._broker,
            inbox=self._inbox_channel,
            registry=self._registry,
            links=self.links,
            runner=self.runner,
            dispatcher=self.dispatcher,
            owner_requests=self.owner_requests,
            hub=self.hub,
            counters=self.counters,
            cannot_go_on=self._exit,
            now=now,
        )
        self.lease_guard = cluster.lease_guard
        self._callbacks = cluster.callbacks
        self._loopback_probe = cluster.loopback_probe
        self._membership = cluster.membership
        self._outage_limit = cluster.outage_limit
        self._registration = cluster.registration
        self._register_receivers()
        self.readiness = Readiness(
            lease_guard=self.lease_guard,
            callbacks=self._callbacks,
            loopback_probe=self._loopback_probe,
            registration=self._registration,
            health=self._health,
        )
        self.admission = Admission(limits(settings), now=now)
        self.endpoint = SocketEndpoint(
            self.me,
            self._edge(),
            self.admission,
            self.readiness,
            holds_sockets=settings.role != "handler",
            negotiate=text_sessions(trace=settings.trace),
            refused=self.count_refusal,
        )
        self.api = self._api()

    def _register_receivers(self) -> None:
        receivers.register_dispatching(
            self._inbox, runner=self.runner, hub=self.hub, dispatcher=self.dispatcher
        )
        receivers.register_owner_requests(
            self._inbox, requests=self.owner_requests, responses=self.owner_responses
        )
        receivers.register_cluster(
            self._inbox,
            me=self.me,
            membership=self._membership,
            loopback_probe=self._loopback_probe,
        )

    def _api(self) -> Api:
        settings, per_second = self.settings, self.settings.api_requests_per_second
        return Api(
            calls=Calls(self.owner_requests, self._registry, self.user_requests),
            credentials=Credentials.of(
                api_keys_text=settings.api_keys.reveal(),
                api_keys_file=settings.api_keys_file,
                access_keys_text=settings.aws_access_keys.reveal(),
            ),
            body_bytes=settings.api_body_bytes,
            rate=None if per_second is None else Rate(per_second, now=self._now()),
            count=self.counters.count_api_request,
            now=self._now,
            clock=time.time,
        )

    def _edge(self) -> EdgeParts:
        settings = self.settings
        return EdgeParts(
            hub=self.hub,
            dispatcher=self.dispatcher,
            registration=self._registration,
            counters=self.counters,
            limits=ConnectionLimits(
                message_bytes=settings.message_bytes,
                messages_per_second=settings.messages_per_second,
                outbox_bytes=settings.outbox_bytes,
                stall_s=settings.stall_seconds,
            ),
            wants_disconnects=lambda: self._callbacks.wants_disconnects is not False,
            now=self._now,
        )

    def _info(self, *, leaving: bool = False) -> WorkerInfo:
        handles = self.settings.role != "edge"
        return WorkerInfo(
            edge=self.settings.role != "handler",
            handler=handles,
            leaving=leaving,
            on_connect=handles and self.handlers.on_connect is not None,
            on_disconnect=handles and self.handlers.on_disconnect is not None,
            envelope_version=VERSION,
            host=socket.gethostname(),
            pid=os.getpid(),
        )

    # Readiness

    @property
    def ready(self) -> bool:
        """Whether this worker takes new connections."""
        return self.readiness.ready

    def count_refusal(self, reason: str) -> None:
        self.counters.refused[reason] += 1

    # Life

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Worker]:
        """Run the worker's parts around the block. Drain first, if it is to end kindly."""
        logs.bind_worker(self.me)
        log.info("worker starts", role=self.settings.role, pid=os.getpid())
        metrics.begin(
            version=__version__,
            max_connections=self.admission.max_connections,
            max_handlers=self.settings.handler_concurrency if self._info().handler else 0,
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
            await self.owner_requests.aclose()
            self._fold()
            await self._registry.aclose()
            log.info("worker stopped")

    async def drain(self) -> None:
        """Leave on purpose within ``drain_seconds``. Afterwards nothing is owed to anybody."""
        if self.readiness.draining:
            return
        self.readiness.draining = True
        self.readiness.report()
        drain = Drain(
            hub=self.hub,
            runner=self.runner,
            dispatcher=self.dispatcher,
            links=self.links,
            members=self.members,
            membership=self._membership,
            registration=self._registration,
            lease_guard=self.lease_guard,
            callbacks=self._callbacks,
        )
        alive = not self.lease_guard.is_fenced and not self.readiness.exiting
        await drain.run(
            self.settings.drain_seconds,
            say_leaving=partial(self._membership.say, self._info(leaving=True)) if alive else None,
        )

    async def _run(self) -> None:
        """Run until cancelled. If any part ends, for any reason, all stop and this raises."""
        async with asyncio.TaskGroup() as tasks:
            for name, part in (
                ("broker", self._broker.run(self._inbox)),
                ("links", self.links.run()),
                ("registration", self._registration.run()),
                ("handlers", self.runner.run()),
                ("membership", self._join()),
                ("housekeeping", self._keep_house()),
                ("loop watch", self._watch.run()),
            ):
                tasks.create_task(self._essential(name, part), name=name)

    async def _essential(self, name: str, part: Awaitable[None]) -> None:
        try:
            await part
        finally:
            self.lease_guard.unregister()  # not ready while the siblings are still stopping
        raise PartEnded(name)

    async def _join(self) -> None:
        """Be reachable first, then be known."""
        await self._broker.subscribe(self._inbox_channel)
        await self._broker.subscribe(self._everyone)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._membership.run(), name="leases")
            tasks.create_task(self._loopback_probe.run(), name="loopback probe")

    def _stopped(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("worker failed", exc_info=error)
            self._exit("part ended")

    def _exit(self, why: str) -> None:
        if not self.readiness.exiting:
            log.error("worker exits", why=why)
            self.readiness.exiting = why == "part ended"
            self.on_exit()

    def _heard(self) -> None:
        self._loopback_probe.heard()
        self.lease_guard.check_lease()

    # Housekeeping

    async def _keep_house(self) -> None:
        while True:
            now = self._now()
            self.lease_guard.check_lease()
            waiting = 0
            for member in self.hub:
                if isinstance(member, ClientConnection):
                    waiting += member.check_progress(now)
            self._outage_limit.give_up_waiting()
            self.owner_responses.forget_old()
            metrics.OUTBOX_BYTES.set(waiting)
            self._fold()
            self.readiness.report()
            await asyncio.sleep(HOUSEKEEPING_S)

    def _fold(self) -> None:
        metrics.CONNECTIONS.set(self.admission.connections)
        metrics.WORKERS.set(len(self.members.known))
        metrics.HANDLER_WORKERS.set(len(self.members.handlers))
        metrics.PROBE_AGE.set(self._loopback_probe.age_s)
        self.counters.fold()
