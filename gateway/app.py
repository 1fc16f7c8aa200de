"""What an application imports: ``Gateway``; and how its worker is made."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from gateway import arguments
from gateway.application.batch_verbs import BatchVerbs
from gateway.application.channel_verbs import ChannelVerbs
from gateway.application.handler_decorators import HandlerDecorators
from gateway.application.presence_verbs import PresenceVerbs
from gateway.application.routes import Routes
from gateway.application.verbs import Verbs
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.edge.addresses import Forwarded
from gateway.errors import NotRunning
from gateway.handlers.echo import echo
from gateway.handlers.hooks import Hooks
from gateway.log import get_logger, show_errors
from gateway.messaging.channel_survey import Survey
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.channel_names import namespace_of
from gateway.protocol.hooks import HookKind
from gateway.protocol.ids import WorkerId, is_worker_id
from gateway.settings.config import Settings
from gateway.settings.sources import current
from gateway.tracing.variants import variants_of
from gateway.worker.health import FOLDER_VARIABLE, PortHealth
from gateway.worker.stores import stores_of
from gateway.worker.worker import Worker
from gateway.worker.worker_ids import reachable_worker_id

log = get_logger(__name__)

WORKER_ID_VARIABLE: Final = "GATEWAY_WORKER_ID"

running: list[Worker] = []
"""The workers of this process. Usually one; a server drains them before it closes sockets."""


class ChannelStandIn(Protocol):
    """What stands for a worker's channels in a test (``gateway.testing``)."""

    @property
    def publisher(self) -> Publisher: ...
    @property
    def presence(self) -> PresenceQuestions: ...
    @property
    def survey(self) -> Survey: ...


class Gateway(HandlerDecorators, Verbs, ChannelVerbs, PresenceVerbs, BatchVerbs):
    """An application's handlers, and the gateway that runs them.

    Run it with ``gateway serve module:attribute``, or inside an existing application::

        Starlette(lifespan=gateway.lifespan, routes=[Mount("/ws", gateway.asgi())])

    Args:
        settings: For tests; otherwise the settings of the process are used.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        if settings is not None:
            arguments.instance("settings", settings, Settings, "Settings or None")
        super().__init__()
        self.settings = settings
        self._worker: Worker | None = None
        # The worker's, or those of a test.
        self._requests_to_users: RequestsToUsers | None = None
        self._users_of_batches: RequestsToUsers | None = None
        self._channel_stand_in: ChannelStandIn | None = None
        self._routes = Routes(lambda: self._worker, lambda: self.settings or current())

    @contextmanager
    def _standing_in(self, users: RequestsToUsers, channels: ChannelStandIn) -> Iterator[None]:
        """Let the verbs do what they do to a test's users and channels, and not to a worker's."""
        before = self._requests_to_users, self._users_of_batches, self._channel_stand_in
        self._requests_to_users = self._users_of_batches = users
        self._channel_stand_in = channels
        try:
            yield
        finally:
            self._requests_to_users, self._users_of_batches, self._channel_stand_in = before

    @property
    def worker(self) -> Worker:
        """The worker of this process.

        Raises:
            NotRunning: Outside of the lifespan.
        """
        if self._worker is None:
            raise NotRunning
        return self._worker

    @property
    def _requests(self) -> RequestsToUsers:
        if self._requests_to_users is None:
            raise NotRunning
        return self._requests_to_users

    @property
    def _requests_of_batches(self) -> RequestsToUsers:
        if self._users_of_batches is None:
            raise NotRunning
        return self._users_of_batches

    async def _publisher(self) -> Publisher:
        if self._channel_stand_in:
            return self._channel_stand_in.publisher
        return self.worker.parts.publisher

    async def _presence(self) -> PresenceQuestions:
        if self._channel_stand_in:
            return self._channel_stand_in.presence
        return self.worker.parts.presence_questions

    @property
    def _survey(self) -> Survey:
        return self._channel_stand_in.survey if self._channel_stand_in else self.worker.parts.survey

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:  # noqa: ARG002 (ASGI's)
        """Run this process's worker. A lifespan for Starlette, FastAPI and the like.

        It begins once the worker can serve: a server listens after that. If Redis does not answer,
        after 5 s all the same, and handshakes get 503 until it does. On a Cluster
        up to 6 s more, if its masters do not answer.
        """
        settings = self.settings or current()
        show_errors(settings.log_errors)
        me = _given_worker_id()
        if me is None:
            me = await asyncio.to_thread(reachable_worker_id, settings)
        stores = stores_of(settings, name=f"gateway.{me}")
        folder = os.environ.get(FOLDER_VARIABLE)
        worker = Worker(
            settings,
            self.handlers,
            stores.broker,
            stores.registry,
            stores.channel_broker,
            presence_store=stores.presence,
            health=PortHealth(Path(folder) if folder else None),
            me=me,
            variants=variants_of(
                me,
                opentelemetry=settings.opentelemetry,
                of_strangers=settings.opentelemetry_traceparent,
            ),
        )
        if settings.role != "edge" and self.handlers.on_message is None:
            log.warning("no on_message handler", app=settings.app)
        _warn_of_hooks(self.handlers.hooks, settings)
        async with worker.running():
            self._worker = worker
            self._requests_to_users = worker.parts.requests_to_users
            self._users_of_batches = worker.parts.users_of_batches
            running.append(worker)
            try:
                await worker.readiness.started()
                yield
            finally:
                try:
                    # Our own server has done so before it closed the sockets; of any other, the
                    # sockets are closed by now, and the lease must still be given back.
                    await worker.drain()
                finally:
                    running.remove(worker)
                    self._worker = self._requests_to_users = self._users_of_batches = None

    def asgi(self) -> ASGIApp:
        """The gateway's routes as an ASGI application, to be mounted in another one."""
        return self._routes.starlette()


def create_app(gateway: Gateway, settings: Settings | None = None) -> Starlette:
    """The whole ASGI application of one gateway, with its lifespan."""
    settings = settings or current()
    forwarded = (
        [Middleware(Forwarded, settings.trusted_proxies)] if settings.trusted_proxies else []
    )
    return gateway._routes.starlette(*forwarded, lifespan=gateway.lifespan)  # noqa: SLF001


def echo_gateway() -> Gateway:
    """The built-in application: every line comes back."""
    gateway = Gateway()
    gateway.on_message(echo)
    return gateway


def _warn_of_hooks(hooks: Hooks, settings: Settings) -> None:
    """Of those that nobody asks: every channel that they are for is an unknown one."""
    for kind, pattern in hooks.declared():
        namespace = namespace_of(pattern) if kind != HookKind.RPC.value else ""
        if namespace and namespace not in settings.channel.named:
            log.warning(
                "hook of no namespace", hook=f"on_{kind}", pattern=pattern, namespace=namespace
            )


def _given_worker_id() -> WorkerId | None:
    """The id that the supervisor chose, so that it can fence this process. Used once."""
    given = os.environ.pop(WORKER_ID_VARIABLE, "")
    return WorkerId(given) if is_worker_id(given) else None
