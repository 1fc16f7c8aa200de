"""ASGI middleware: no path of the gateway is there for a host that is not served."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.edge.addresses import peer_of
from gateway.edge.hosts import Hosts
from gateway.edge.paths import below_root
from gateway.edge.refusal import Refusal

PROBES: Final = ("/livez", "/readyz")  # asked by those who know a worker by its address only


class HostCheck:
    """For HTTP; handshakes are checked with all else that is asked of them (``Admission``).

    Args:
        hosts: Asked at each request: a mounted gateway learns its settings late.
        refused: Told the reason of each refusal.
    """

    def __init__(
        self, app: ASGIApp, hosts: Callable[[], Hosts], refused: Callable[[str], None]
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._check(scope)
        if refusal is not None:
            self._refused(refusal.reason)
            response = PlainTextResponse(refusal.text + "\n", refusal.status)
            await response(scope, receive, send)
            return
        with suppress(ClientDisconnect):  # its own business; a server would call it our error
            await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> Refusal | None:
        own = None
        if below_root(scope) in PROBES and scope.get("server"):
            own = peer_of(scope["server"])
        return self._hosts().check(
            scope["headers"], http_version=scope.get("http_version", "1.1"), own=own
        )
