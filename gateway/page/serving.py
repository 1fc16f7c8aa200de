"""The page to try the gateway with, as routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.protocol.text_endpoint import TRACE_SUBPROTOCOL

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES: Final = {
    "index.html": "text/html; charset=utf-8",
    "base.css": "text/css; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "rules.js": "text/javascript; charset=utf-8",
    "view.js": "text/javascript; charset=utf-8",
    "lines.js": "text/javascript; charset=utf-8",
    "connection.js": "text/javascript; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "subscription.js": "text/javascript; charset=utf-8",
    "centrifuge.js": "text/javascript; charset=utf-8",
    "people.js": "text/javascript; charset=utf-8",
    "roomview.js": "text/javascript; charset=utf-8",
    "room.js": "text/javascript; charset=utf-8",
    "views.js": "text/javascript; charset=utf-8",
}
_HEADERS: Final = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def page_routes(traced: Callable[[], bool]) -> list[Route]:
    """The page and its files. ``traced`` tells whether it may ask for the trace."""
    return [
        Route("/" if name == "index.html" else f"/{name}", _file(name, traced)) for name in _TYPES
    ]


def _file(name: str, traced: Callable[[], bool]) -> Callable[[Request], Awaitable[Response]]:
    body = files("gateway.page").joinpath(name).read_bytes()
    untraced = body.replace(TRACE_SUBPROTOCOL.encode(), b"") if name == "index.html" else body

    async def serve(request: Request) -> Response:  # noqa: ARG001
        shown = body if traced() else untraced
        return Response(shown, headers=_HEADERS, media_type=_TYPES[name])

    return serve
