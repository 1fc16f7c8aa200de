"""What answers in one process, and at which path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Lifespan, Scope
from starlette.websockets import WebSocket

from gateway import metrics
from gateway.admin_page.serving import admin_routes
from gateway.edge.admission import NOT_RUNNING
from gateway.edge.endpoint import SocketEndpoint, deny
from gateway.edge.host_check import HostCheck
from gateway.edge.hosts import Hosts
from gateway.edge.paths import NoControls, NotFound, RootPath, upgrade_required
from gateway.errors import NotRunning
from gateway.http_api.gate import Api
from gateway.http_api.ports import Marked, OnlyIf, OnPort
from gateway.http_api.routes import api_routes
from gateway.log import get_logger
from gateway.page.serving import page_routes
from gateway.settings.config import Settings
from gateway.settings.version import __version__
from gateway.worker.worker import Worker

log = get_logger(__name__)


class Routes:
    """The routes of one gateway, whether its worker runs or not.

    Args:
        worker: That of this process; None while none runs.
        settings: In force while none runs.
    """

    def __init__(
        self, worker: Callable[[], Worker | None], settings: Callable[[], Settings]
    ) -> None:
        self._find_worker = worker
        self._settings_otherwise = settings
        self._told_not_running = False

    def starlette(self, *before: Middleware, lifespan: Lifespan[Any] | None = None) -> Starlette:
        """The routes, and what every request passes before them."""
        not_found = NotFound(self._served_at)
        middleware = [
            *before,
            Middleware(RootPath),
            Middleware(HostCheck, hosts=self._hosts, refused=self._refused),
            Middleware(NoControls, not_found),
        ]
        app = Starlette(routes=self._routes(), lifespan=lifespan, middleware=middleware)
        app.router.redirect_slashes = False  # a redirect would name what a proxy in front calls us
        app.router.default = not_found
        return app

    def _routes(self) -> list[BaseRoute]:
        for_clients: list[BaseRoute] = [
            WebSocketRoute("/communicate", self._communicate),
            Route("/communicate", _no_socket, methods=None),
            WebSocketRoute("/connection/websocket", self._centrifuge),
            Route("/connection/websocket", _no_socket, methods=None),
            *(OnlyIf(route, self._shows_page) for route in page_routes(self._traces)),
        ]
        for_admin: list[BaseRoute] = [
            WebSocketRoute("/admin/websocket", self._admin),
            Route("/admin/websocket", _no_socket, methods=None),
            *admin_routes(self._takes_keys),
        ]
        # First: backends call it often, and each route that is asked before costs a call.
        api = Marked("/@", api_routes(self._api, version=__version__))
        for_backends: list[BaseRoute] = [api, Route("/metrics", _metrics)]
        return [
            *(OnPort(route, self._admin_port, admin=True) for route in for_backends),
            Route("/livez", _livez),
            Route("/readyz", self._readyz),
            *(OnPort(route, self._admin_port, admin=False) for route in for_clients),
            # Never on the port of clients, also where there is no other.
            *(
                OnlyIf(OnPort(route, self._admin_port, admin=True), self._has_admin_port)
                for route in for_admin
            ),
        ]

    @property
    def _worker(self) -> Worker | None:
        return self._find_worker()

    def _api(self) -> Api | None:
        return None if self._worker is None else self._worker.parts.api

    @property
    def _settings(self) -> Settings:
        if self._worker is not None:
            return self._worker.parts.settings
        return self._settings_otherwise()

    def _admin_port(self) -> int | None:
        admin_bind = self._settings.admin_bind
        return int(admin_bind.rpartition(":")[2]) if admin_bind else None

    def _has_admin_port(self) -> bool:
        return self._admin_port() is not None

    def _takes_keys(self) -> bool:
        return self._worker is not None and self._worker.parts.credentials.has_keys

    async def _communicate(self, websocket: WebSocket) -> None:
        await self._serve(websocket, lambda worker: worker.parts.endpoint)

    async def _centrifuge(self, websocket: WebSocket) -> None:
        await self._serve(websocket, lambda worker: worker.parts.centrifuge_endpoint)

    async def _admin(self, websocket: WebSocket) -> None:
        await self._serve(websocket, lambda worker: worker.parts.admin.endpoint)

    async def _serve(
        self, websocket: WebSocket, endpoint_of: Callable[[Worker], SocketEndpoint]
    ) -> None:
        if self._worker is not None:
            await endpoint_of(self._worker).serve(websocket)
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
            return (
                f"{root}/@openapi.json, which lists the calls, {root}/admin/ (the admin page) "
                f"or {root}/metrics"
            )
        page = f"{root}/ (the page) or " if self._shows_page() else ""
        return f"{page}{root}/communicate (the socket) or {root}/connection/websocket (for SDKs)"

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
