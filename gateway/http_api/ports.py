"""Routes that are there on one port only (``GATEWAY_ADMIN_BIND``), or under a condition, or that
are asked only for paths that may be theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send


class OnPort(BaseRoute):
    """A route that is not there for those who came to the other port.

    Told apart by the local address of the accepted socket (ASGI's ``server``), not by anything
    that a client sends.

    Args:
        admin_port: The port for backends; None when there is only one port, for everybody.
        admin: Whether this route is for backends.
    """

    def __init__(
        self, route: BaseRoute, admin_port: Callable[[], int | None], *, admin: bool
    ) -> None:
        self._route = route
        self._admin_port = admin_port
        self._admin = admin

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        admin_port = self._admin_port()
        if admin_port is not None:
            server = scope.get("server")
            if (server is not None and server[1] == admin_port) is not self._admin:
                return Match.NONE, {}
        return self._route.matches(scope)

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._route.handle(scope, receive, send)


class OnlyIf(BaseRoute):
    """A route that is there while ``there()`` is true."""

    def __init__(self, route: BaseRoute, there: Callable[[], bool]) -> None:
        self._route = route
        self._there = there

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return self._route.matches(scope) if self._there() else (Match.NONE, {})

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._route.handle(scope, receive, send)


_CHOSEN: Final = "gateway.route"


class Marked(BaseRoute):
    """Routes whose paths all have ``mark`` in them: no other request asks each of them."""

    def __init__(self, mark: str, routes: Sequence[BaseRoute]) -> None:
        self._mark = mark
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found: tuple[Match, Scope] = (Match.NONE, {})
        if scope["type"] == "http" and self._mark in scope["path"]:
            for route in self._routes:
                match, its = route.matches(scope)
                if match is Match.FULL:
                    return match, {**its, _CHOSEN: route}
                if match is Match.PARTIAL and found[0] is Match.NONE:
                    found = match, {**its, _CHOSEN: route}
        return found

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope[_CHOSEN].handle(scope, receive, send)
