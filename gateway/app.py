"""What an application imports: ``Gateway``; and how its worker is made."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, overload

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from gateway import arguments
from gateway.application.batch_verbs import BatchVerbs
from gateway.application.channel_verbs import ChannelVerbs
from gateway.application.presence_verbs import PresenceVerbs
from gateway.application.routes import Routes
from gateway.application.verbs import Verbs
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.edge.addresses import Forwarded
from gateway.errors import NotRunning
from gateway.handlers.definitions import (
    Handlers,
    OnConnect,
    OnDisconnect,
    OnMessage,
)
from gateway.handlers.echo import echo
from gateway.handlers.hook_requests import OnPublish, OnRpc, OnSubscribe, OnUnsubscribe
from gateway.log import get_logger, show_errors
from gateway.messaging.channel_survey import Survey
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.channel_names import namespace_of
from gateway.protocol.hooks import HookKind, check_pattern
from gateway.protocol.ids import WorkerId, is_worker_id
from gateway.settings.config import Settings
from gateway.settings.sources import current
from gateway.tracing.variants import variants_of
from gateway.worker.health import FOLDER_VARIABLE, PortHealth
from gateway.worker.stores import stores_of
from gateway.worker.worker import Worker
from gateway.worker.worker_ids import reachable_worker_id

log = get_logger(__name__)

_NONE_YET: Final[Any] = object()  # not None: what is no handler is refused, and None is none
WORKER_ID_VARIABLE: Final = "GATEWAY_WORKER_ID"
_Handler = TypeVar("_Handler", bound=Callable[..., Awaitable[Any]])

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


class Gateway(Verbs, ChannelVerbs, PresenceVerbs, BatchVerbs):
    """An application's handlers, and the gateway that runs them.

    Run it with ``gateway serve module:attribute``, or inside an existing application::

        Starlette(lifespan=gateway.lifespan, routes=[Mount("/ws", gateway.asgi())])

    Args:
        settings: For tests; otherwise the settings of the process are used.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        if settings is not None:
            arguments.instance("settings", settings, Settings, "Settings or None")
        self.handlers = Handlers()
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

    @overload
    def on_message(self, handler: OnMessage) -> OnMessage: ...
    @overload
    def on_message(self) -> Callable[[OnMessage], OnMessage]: ...
    def on_message(
        self, handler: OnMessage = _NONE_YET
    ) -> OnMessage | Callable[[OnMessage], OnMessage]:
        """Call ``handler`` with every message; what it returns is sent back, None sends nothing.

        Messages of one connection are handled one at a time, in order. A handler runs once while
        workers live, and perhaps again, with the same ``message.id``, when one dies. One that
        raises or takes longer than ``GATEWAY_HANDLER_SECONDS`` closes its connection with 1011.
        """
        return self._register("on_message", handler)

    @overload
    def on_connect(self, handler: OnConnect) -> OnConnect: ...
    @overload
    def on_connect(self) -> Callable[[OnConnect], OnConnect]: ...
    def on_connect(
        self, handler: OnConnect = _NONE_YET
    ) -> OnConnect | Callable[[OnConnect], OnConnect]:
        """Call ``handler`` before a socket is accepted.

        It may return who the user is, or an ``Admit``, which says until when besides.
        ``raise Refused(code, reason)`` accepts the socket and closes it with this code, since a
        browser shows a page no HTTP status. Any other error answers the handshake with 500.
        """
        return self._register("on_connect", handler)

    @overload
    def on_disconnect(self, handler: OnDisconnect) -> OnDisconnect: ...
    @overload
    def on_disconnect(self) -> Callable[[OnDisconnect], OnDisconnect]: ...
    def on_disconnect(
        self, handler: OnDisconnect = _NONE_YET
    ) -> OnDisconnect | Callable[[OnDisconnect], OnDisconnect]:
        """Call ``handler`` after a socket has ended: at least once, also when its worker died.

        After a worker's death, or when a drain was over before, the connection has its id, user,
        address and user agent only. Until the handler has returned, the connection is still listed.
        """
        return self._register("on_disconnect", handler)

    def on_subscribe(self, channels: str) -> Callable[[OnSubscribe], OnSubscribe]:
        """Ask the decorated hook whether a client may subscribe to one of ``channels``.

        A name, or a beginning with ``*`` behind it; the longest that fits decides. It returns None
        for yes, or a ``Grant``. ``raise Denied(…)`` answers the client with an error, ``raise
        Refused(…)`` closes its connection; any other error is answered with 100.

        Hooks are handled like messages: in order with what else their connection sends, once while
        workers live, perhaps again when one dies, and cancelled after ``GATEWAY_HANDLER_SECONDS``.
        """
        return self._hook(HookKind.SUBSCRIBE, channels)

    def on_publish(self, channels: str) -> Callable[[OnPublish], OnPublish]:
        """Ask the decorated hook about each publication of a client to one of ``channels``.

        What it returns is published instead; None publishes what the client sent, byte for byte.
        Otherwise as ``on_subscribe``.
        """
        return self._hook(HookKind.PUBLISH, channels)

    def on_unsubscribe(self, channels: str) -> Callable[[OnUnsubscribe], OnUnsubscribe]:
        """Tell the decorated hook that a client is subscribed no more to one of ``channels``.

        At least once, before ``on_disconnect`` where the connection has ended; but not after the
        death of the worker that held it, where ``on_disconnect`` alone is called.
        """
        return self._hook(HookKind.UNSUBSCRIBE, channels)

    def on_rpc(self, methods: str) -> Callable[[OnRpc], OnRpc]:
        """Have clients call the decorated hook; what it returns is the result.

        Otherwise as ``on_subscribe``.
        """
        return self._hook(HookKind.RPC, methods)

    def _hook(self, kind: HookKind, pattern: str) -> Callable[[_Handler], _Handler]:
        check_pattern(pattern)  # now, and not where the hook is given
        return partial(self.handlers.hooks.set, kind, pattern)

    def _warn_of_hooks(self, settings: Settings) -> None:
        """Of those that nobody asks: every channel that they are for is an unknown one."""
        for kind, pattern in self.handlers.hooks.declared():
            namespace = namespace_of(pattern) if kind != HookKind.RPC.value else ""
            if namespace and namespace not in settings.channel.named:
                log.warning(
                    "hook of no namespace", hook=f"on_{kind}", pattern=pattern, namespace=namespace
                )

    def _register(self, kind: str, handler: _Handler) -> _Handler | Callable[[_Handler], _Handler]:
        """Register it, or, for who has written parentheses, whatever follows."""
        if handler is _NONE_YET:
            return partial(self.handlers.set, kind)
        return self.handlers.set(kind, handler)

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
        self._warn_of_hooks(settings)
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


def _given_worker_id() -> WorkerId | None:
    """The id that the supervisor chose, so that it can fence this process. Used once."""
    given = os.environ.pop(WORKER_ID_VARIABLE, "")
    return WorkerId(given) if is_worker_id(given) else None
