"""A page and a socket with one login: Starlette's signed session cookie."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

from itsdangerous import BadSignature, TimestampSigner
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Mount, Route

from gateway import Admit, Connection, Gateway, Message, Refused

SECRET = os.environ.get("SECRET", "only for trying it out")
SECONDS = int(os.environ.get("SESSION_SECONDS", "3600"))
PAGE = (Path(__file__).parent / "page.html").read_text()
NOT_LOGGED_IN = 4501  # from 4500 on: clients do not come back by themselves

gateway = Gateway()
signer = TimestampSigner(SECRET)


@gateway.on_connect
async def who_is_it(connection: Connection) -> Admit:
    """Who opens this socket, and until when? The same cookie says it that the routes go by.

    It is read here, not taken from ``request.session``: the worker that runs this handler is
    usually not the one that has the request.
    """
    try:
        cookie = cookie_parser(connection.headers.get("cookie", ""))["session"]
        content, signed_at = signer.unsign(cookie, max_age=SECONDS, return_timestamp=True)
        user: str = json.loads(b64decode(content))["user"]
    except (KeyError, BadSignature):
        raise Refused(NOT_LOGGED_IN, "log in first") from None
    return Admit(user, expires_at=signed_at + timedelta(seconds=SECONDS))


@gateway.on_message
async def greet(message: Message) -> str:
    return f"Hello {message.connection.user}, you say {message.text}"


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def log_in(request: Request) -> RedirectResponse:
    """Believe everybody. An example, after all."""
    request.session["user"] = parse_qs((await request.body()).decode()).get("name", ["nobody"])[0]
    return RedirectResponse("/", status_code=303)


async def log_out(request: Request) -> RedirectResponse:
    request.session.clear()
    return RedirectResponse("/", status_code=303)


app = Starlette(
    lifespan=gateway.lifespan,
    # With https_only=True where it is served over TLS.
    middleware=[Middleware(SessionMiddleware, secret_key=SECRET, max_age=SECONDS)],
    routes=[
        Route("/", page),
        Route("/login", log_in, methods=["POST"]),
        Route("/logout", log_out, methods=["POST"]),
        Mount("/ws", gateway.asgi()),
    ],
)
