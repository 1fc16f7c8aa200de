"""Where the gateway's paths begin, and what is said of one that is not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.close_codes import NORMAL


class RootPath:
    """ASGI middleware: ``path`` begins with ``root_path``, as ASGI has it since version 2.

    Below ``FastAPI(root_path="/api")`` behind a proxy that strips the prefix it does not: FastAPI
    sets the one without the other, a mount then adds its own part to ``root_path``, and nothing
    that is mounted would find its routes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root, path = scope.get("root_path", ""), scope.get("path", "")
        if root and path != root and not path.startswith(root + "/"):
            scope = {**scope, "path": stripped_part(root, path) + path}
        await self._app(scope, receive, send)


def stripped_part(root: str, path: str) -> str:
    """What a proxy took off: ``/api`` of ``/api/ws`` when the path is ``/ws/communicate``."""
    at = 0
    while 0 <= at < len(root):
        mounted = root[at:]
        if path == mounted or path.startswith(mounted + "/"):
            return root[:at]
        at = root.find("/", at + 1)
    return root


def below_root(scope: Scope) -> str:
    """The path as the gateway's routes have it."""
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    return path[len(root) :] if root and path.startswith(root + "/") else path


class NotFound:
    """The ASGI application for paths that nothing has: a text, for sockets too.

    Args:
        served: What is to be found where a request arrived, in words.
    """

    def __init__(self, served: Callable[[Scope], str]) -> None:
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        slash = "leave out the slash at its end, or " if len(path) > 1 and path[-1] == "/" else ""
        text = f"there is nothing at this path: {slash}try {self._served(scope)}"
        if scope["type"] == "http":
            await PlainTextResponse(text + "\n", 404)(scope, receive, send)
        elif scope["type"] == "websocket":
            await _deny(text, scope, receive, send)


async def _deny(text: str, scope: Scope, receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": NORMAL.code, "reason": ""})
        return
    response = PlainTextResponse(text + "\n", 404)
    await send(
        {
            "type": "websocket.http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": response.body})


def upgrade_required() -> Response:
    """To a request for the socket's path that asks for no socket (RFC 9110 section 15.5.22)."""
    text = "here is a WebSocket: open it with a WebSocket client, or try the page\n"
    headers = {"upgrade": "websocket", "connection": "upgrade"}
    return PlainTextResponse(text, 426, headers)


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NAMED: Final = re.compile(r"/@(?:users|connections|channels)/")  # by any characters behind it


class NoControls:
    """ASGI middleware: no path has control characters, but for names of users and channels.

    Starlette's routes end before a last line break. ``/metrics%0a`` would be ``/metrics``, and to a
    proxy that guards that it is another path.
    """

    def __init__(self, app: ASGIApp, not_found: ASGIApp) -> None:
        self._app = app
        self._not_found = not_found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if _CONTROL.search(scope.get("path", "")) and not _NAMED.match(below_root(scope)):
            app = self._not_found
        await app(scope, receive, send)
