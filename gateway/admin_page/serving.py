"""The admin page, as routes. It holds nothing secret: what it shows, it asks for with a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HTML: Final = "text/html; charset=utf-8"
CSS: Final = "text/css; charset=utf-8"
JAVASCRIPT: Final = "text/javascript; charset=utf-8"
ADMIN_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OWN: Final = {
    "admin.css": CSS,
    "api.js": JAVASCRIPT,
    "parts.js": JAVASCRIPT,
    "workers.js": JAVASCRIPT,
    "connections.js": JAVASCRIPT,
    "channels.js": JAVASCRIPT,
    "admin.js": JAVASCRIPT,
}
# Of the page to try the gateway with: how it speaks with its server, and how both look.
_SHARED: Final = {
    "base.css": CSS,
    "rules.js": JAVASCRIPT,
    "subscription.js": JAVASCRIPT,
    "centrifuge.js": JAVASCRIPT,
}
_HEADERS: Final = {
    "content-security-policy": ADMIN_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_NO_KEYS: Final = b'<meta name="gateway-keys" content="none">'
_KEYS: Final = b'<meta name="gateway-keys" content="some">'


def admin_routes(takes_keys: Callable[[], bool]) -> list[Route]:
    """The page and its files. ``takes_keys`` tells whether there is any key that lets one in."""
    html = _read("gateway.admin_page", "index.html")

    async def page(request: Request) -> Response:  # noqa: ARG001
        shown = html if takes_keys() else html.replace(_KEYS, _NO_KEYS)
        return Response(shown, headers=_HEADERS, media_type=HTML)

    async def to_page(request: Request) -> Response:  # noqa: ARG001
        # Relative to where it was asked for, whatever a proxy in front calls that.
        return Response(status_code=307, headers={**_HEADERS, "location": "admin/"})

    return [Route("/admin/", page), Route("/admin", to_page), *_files()]


def _files() -> Iterator[Route]:
    for name, media_type in _OWN.items():
        yield Route(f"/admin/{name}", _file(_read("gateway.admin_page", name), media_type))
    for name, media_type in _SHARED.items():
        yield Route(f"/admin/{name}", _file(_read("gateway.page", name), media_type))


def _read(package: str, name: str) -> bytes:
    return files(package).joinpath(name).read_bytes()


def _file(body: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:  # noqa: ARG001
        return Response(body, headers=_HEADERS, media_type=media_type)

    return serve
