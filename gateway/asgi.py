"""``gateway.asgi:app``: the application of this process's settings, for any ASGI server.

With ``gunicorn -c python:gateway.gunicorn_conf gateway.asgi:app`` it lacks nothing. Under a plain
ASGI server it runs on the memory broker unless ``GATEWAY_REDIS_URL`` is set, and lacks what only
our server has: the drain, the handshake deadline and the bound on slow readers' sockets.
"""

from __future__ import annotations

from starlette.types import ASGIApp

from gateway.app import create_app
from gateway.process.loading import load_gateway
from gateway.settings.sources import current

app: ASGIApp = load_gateway(current().app, create_app)
