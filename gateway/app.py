"""What an application imports: ``Gateway``; and the ASGI application around it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Lifespan, Scope
from starlette.websockets import WebSocket

from gateway import metrics
from gateway.broker.base import Broker
from gateway.broker.memory import MemoryBroker
from gateway.broker.redis import RedisBroker
from gateway.edge.addresses import Forwarded
from gateway.edge.admission import NOT_RUNNING
from gateway.edge.endpoint import deny
from gateway.edge.host_check import HostCheck
from gateway.edge.hosts import Hosts
from gateway.edge.paths import NoControls, NotFound, RootPath, upgrade_required
from gateway.errors import Disconnected, NotRunning, check_close
from gateway.handlers.echo import echo
from gateway.handlers.table import (
    Connection,
    Handlers,
    OnConnect,
    OnDisconnect,
    OnMessage,
    of_entries,
)
from gateway.http_api.ports import OnlyIf, OnPort
from gateway.http_api.routes import Api, api_routes
from gateway.log import get_logger, show_errors
from gateway.messaging.user_requests import UserRequests
from gateway.page.serving import page_routes
from gateway.protocol.ids import WorkerId, is_worker_id
from gateway.protocol.receipt import Receipt, Sent
from gateway.redis_support.address import parse
from gateway.registry.base import Registry
from gateway.registry.memory import MemoryRegistry
from gateway.registry.redis import RedisRegistry
from gateway.settings.config import Settings
from gateway.settings.sources import current
from gateway.settings.version import __version__
from gateway.worker.health import FOLDER_VARIABLE, PortHealth
from gateway.worker.worker import Worker, new_worker_id

log = get_logger(__name__)

WORKER_ID_VARIABLE: Final = "GATEWAY_WORKER_ID"
running: list[Worker] = []
"""The workers of this process. Usually one; a server drains them before it closes sockets."""


class Gateway:
    """An application's handlers, and the gateway that runs them.

    Run it with ``gateway serve module:attribute``, or inside an existing application::

        Starlette(lifespan=gateway.lifespan, routes=[Mount("/ws", gateway.asgi())])

    Args:
        settings: For tests; otherwise the settings of the process are used.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.handlers = Handlers()
        self.settings = settings
        self._worker: Worker | None = None
        self._user_requests: UserRequests | None = None  # the worker's, or that of a test
        self._told_not_running = False

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
    def _running(self) -> UserRequests:
        if self._user_requests is None:
            raise NotRunning
        return self._user_requests

    def on_message(self, handler: OnMessage) -> OnMessage:
        """Call ``handler`` with every message; what it returns is sent back, None sends nothing.

        Messages of one connection are handled one at a time, in order. A handler runs once while
        workers live, and perhaps again, with the same ``message.id``, when one dies. One that
        raises or takes longer than ``GATEWAY_HANDLER_SECONDS`` closes its connection with 1011.
        """
        return self.handlers.set("on_message", handler)

    def on_connect(self, handler: OnConnect) -> OnConnect:
        """Call ``handler`` before a socket is accepted.

        It may return who the user is, or an ``Admit``, which says until when besides.
        ``raise Refused(code, reason)`` accepts the socket and closes it with this code, since a
        browser shows a page no HTTP status. Any other error answers the handshake with 500.
        """
        return self.handlers.set("on_connect", handler)

    def on_disconnect(self, handler: OnDisconnect) -> OnDisconnect:
        """Call ``handler`` after a socket has ended: at least once, also when its worker died.

        After a worker's death, or when a drain was over before, the connection has its id, user,
        address and user agent only. Until the handler has returned, the connection is still listed.
        """
        return self.handlers.set("on_disconnect", handler)

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        """Send a text to one connection, whichever worker holds it, and learn what became of it.

        It leaves as one frame, after what this task has sent to the connection before and before
        what it sends afterwards, the answer of a handler included. The receipt comes at once, or
        within 2 s; for an owner that this worker does not know yet, within 4 s. The gateway does
        not send again by itself. Cancelling the call takes nothing back.

        A connection that ``on_connect`` has not let in yet is UNREACHABLE: nothing was written.

        Args:
            connection: ``Connection.id``, of any worker. What has not that form is GONE.
            text: At most about a megabyte.
            key: Names this send: with the same key the same text is written once in a minute, so
                that a send that was UNREACHABLE may be repeated.

        Raises:
            NotRunning: Outside of the lifespan. Elsewhere, use ``gateway.client``.
            TypeError: The text is no ``str``.
            EnvelopeTooLarge: The text is over the bound.
            UnicodeEncodeError: The text has a lone surrogate.
        """
        return await self._running.sender.send(connection, text, key=key)

    async def disconnect(
        self,
        connection: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> Receipt:
        """Close one connection, whichever worker holds it, after what was sent to it before.

        Args:
            connection: ``Connection.id``, of any worker.
            code: 1000, or 3000 to 4999: after 3000-3499 and 4000-4499 clients come back, after
                3500-3999 and 4500-4999 they stay away.
            reason: 1 to 123 UTF-8 bytes.

        Returns:
            WRITTEN (the close frame is under way), GONE or UNREACHABLE.

        Raises:
            NotRunning: Outside of the lifespan. Elsewhere, use ``gateway.client``.
            ValueError: The code or the reason cannot be sent.
        """
        check_close(code, reason)
        return await self._running.sender.disconnect(connection, code, reason)

    async def send_to_user(self, user: str, text: str, *, key: str | None = None) -> list[Sent]:
        """Send a text to every connection of a user, whichever workers hold them.

        Within an ``on_message`` handler the connection that is being answered is one of them.
        Cancelling the call takes nothing back.

        Args:
            user: As ``on_connect`` has named them.
            text: As in ``send``.
            key: As in ``send``, for each connection by itself: the whole call may be repeated.

        Returns:
            Each connection with its receipt, as ``send`` gives it; none if the user has none.

        Raises:
            BrokerUnavailable: Nobody can know the connections now. Nothing was sent.
            NotRunning, TypeError, EnvelopeTooLarge, UnicodeEncodeError: As of ``send``.
        """
        return await self._running.send(user, text, key=key)

    async def disconnect_user(
        self,
        user: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> list[Sent]:
        """Close every connection of a user, after what was sent to it before.

        Returns:
            Each connection with its receipt, as ``disconnect`` gives it.

        Raises:
            BrokerUnavailable: Nobody can know the connections now. Nothing was closed.
            NotRunning, ValueError: As of ``disconnect``.
        """
        check_close(code, reason)
        return await self._running.disconnect(user, code, reason)

    async def connections(self, *, user: str) -> list[Connection]:
        """The connections of a user, those of each worker together, the oldest first.

        As the registry has them: without query and subprotocols, and of the headers the user agent
        only. One that ends meanwhile may be among them, and one that comes meanwhile may not.

        Raises:
            BrokerUnavailable: Nobody can know now.
            NotRunning: Outside of the lifespan.
        """
        return of_entries(await self._running.connections(user))

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:  # noqa: ARG002 (ASGI's)
        """Run this process's worker. A lifespan for Starlette, FastAPI and the like.

        It begins once the worker can serve: a server listens after that. If Redis does not answer,
        after 5 s all the same, and handshakes get 503 until it does.
        """
        settings = self.settings or current()
        show_errors(settings.log_errors)
        me = _given_worker_id() or new_worker_id()
        broker, registry = broker_and_registry(settings, name=f"gateway.{me}")
        folder = os.environ.get(FOLDER_VARIABLE)
        worker = Worker(
            settings,
            self.handlers,
            broker,
            registry,
            health=PortHealth(Path(folder) if folder else None),
            me=me,
        )
        if settings.role != "edge" and self.handlers.on_message is None:
            log.warning("no on_message handler", app=settings.app)
        async with worker.running():
            self._worker = worker
            self._user_requests = worker.parts.user_requests
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
                    self._worker = self._user_requests = None

    def asgi(self) -> ASGIApp:
        """The gateway's routes as an ASGI application, to be mounted in another one."""
        return _starlette(self)

    def _routes(self) -> list[BaseRoute]:
        for_clients: list[BaseRoute] = [
            WebSocketRoute("/communicate", self._communicate),
            Route("/communicate", _no_socket, methods=None),
            *(OnlyIf(route, self._shows_page) for route in page_routes(self._traces)),
        ]
        for_backends = [Route("/metrics", _metrics), *api_routes(self._api, version=__version__)]
        return [
            Route("/livez", _livez),
            Route("/readyz", self._readyz),
            *(OnPort(route, self._admin_port, admin=False) for route in for_clients),
            *(OnPort(route, self._admin_port, admin=True) for route in for_backends),
        ]

    def _api(self) -> Api | None:
        return None if self._worker is None else self._worker.parts.api

    @property
    def _settings(self) -> Settings:
        if self._worker is not None:
            return self._worker.parts.settings
        return self.settings or current()

    def _admin_port(self) -> int | None:
        admin_bind = self._settings.admin_bind
        return int(admin_bind.rpartition(":")[2]) if admin_bind else None

    async def _communicate(self, websocket: WebSocket) -> None:
        if self._worker is not None:
            await self._worker.parts.endpoint.serve(websocket)
            return
        if not self._told_not_running:
            self._told_not_running = True
            log.error(str(NotRunning()))
        await deny(websocket, NOT_RUNNING)

    async def _readyz(self, request: Request) -> Response:  # noqa: ARG002
        if self._worker is not None and self._worker.readiness.port_ready:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", 503, {"retry-after": "1"})

    def _traces(self) -> bool:
        return self._worker is not None and self._worker.parts.settings.trace

    def _shows_page(self) -> bool:
        return self._settings.page

    def _served_at(self, scope: Scope) -> str:
        """What is where this request arrived."""
        root, admin_port, server = (
            scope.get("root_path", ""),
            self._admin_port(),
            scope.get("server"),
        )
        if admin_port is not None and server is not None and server[1] == admin_port:
            return f"{root}/@openapi.json, which lists the calls, or {root}/metrics"
        page = f"{root}/ (the page) or " if self._shows_page() else ""
        return f"{page}{root}/communicate (the socket)"

    def _hosts(self) -> Hosts:
        if self._worker is not None:
            return self._worker.parts.admission.hosts
        return Hosts(self._settings.allowed_hosts)

    def _refused(self, reason: str) -> None:
        if self._worker is not None:
            self._worker.parts.count_refusal(reason)


async def _no_socket(request: Request) -> Response:  # noqa: ARG001
    return upgrade_required()


async def _livez(request: Request) -> Response:  # noqa: ARG001
    return PlainTextResponse("alive\n")


async def _metrics(request: Request) -> Response:  # noqa: ARG001
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


def create_app(gateway: Gateway, settings: Settings | None = None) -> Starlette:
    """The whole ASGI application of one gateway, with its lifespan."""
    settings = settings or current()
    forwarded = (
        [Middleware(Forwarded, settings.trusted_proxies)] if settings.trusted_proxies else []
    )
    return _starlette(gateway, *forwarded, lifespan=gateway.lifespan)


def _starlette(
    gateway: Gateway, *before: Middleware, lifespan: Lifespan[Any] | None = None
) -> Starlette:
    """The routes, and what every request passes before them."""
    not_found = NotFound(gateway._served_at)  # noqa: SLF001
    middleware = [
        *before,
        Middleware(RootPath),
        Middleware(HostCheck, hosts=gateway._hosts, refused=gateway._refused),  # noqa: SLF001
        Middleware(NoControls, not_found),
    ]
    app = Starlette(routes=gateway._routes(), lifespan=lifespan, middleware=middleware)  # noqa: SLF001
    app.router.redirect_slashes = False  # a redirect would name what a proxy in front calls us
    app.router.default = not_found
    return app


def echo_gateway() -> Gateway:
    """The built-in application: every line comes back."""
    gateway = Gateway()
    gateway.on_message(echo)
    return gateway


def broker_and_registry(settings: Settings, *, name: str) -> tuple[Broker, Registry]:
    """What these settings name: Redis, or the memory of this one process.

    Redis lists the connections of a worker under ``name`` (CLIENT LIST).
    """
    if not settings.redis_url:
        return MemoryBroker(), MemoryRegistry()
    address = parse(settings.redis_url.reveal())
    address.node.count = metrics.count_redis_error
    return (
        RedisBroker(address, name=name),
        RedisRegistry(address, prefix=settings.redis_prefix, name=name),
    )


def _given_worker_id() -> WorkerId | None:
    """The id that the supervisor chose, so that it can fence this process. Used once."""
    given = os.environ.pop(WORKER_ID_VARIABLE, "")
    return WorkerId(given) if is_worker_id(given) else None
