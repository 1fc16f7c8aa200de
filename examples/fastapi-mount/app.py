"""A FastAPI application with a gateway inside: one login for its pages and for its sockets."""

from __future__ import annotations

import hashlib
import hmac
import os
from http.cookies import SimpleCookie
from typing import Annotated

from fastapi import Cookie, FastAPI, HTTPException
from fastapi.responses import RedirectResponse

from gateway import Connection, Gateway, Message, Refused

SECRET = os.environ.get("SECRET", "only for trying it out").encode()
NOT_LOGGED_IN = 4501  # from 4500 on: clients do not come back by themselves

gateway = Gateway()


@gateway.on_connect
async def who_is_it(connection: Connection) -> str:
    """Who opens this socket? Browsers send the cookie with the handshake, as with any request."""
    cookies = SimpleCookie(connection.headers.get("cookie", ""))
    user = name_in(cookies["session"].value) if "session" in cookies else None
    if user is None:
        raise Refused(NOT_LOGGED_IN, "log in first")
    return user


@gateway.on_message
async def answer(message: Message) -> str:
    return f"{message.connection.user} says {message.text}"


# The lifespan runs the gateway's worker; without it every handshake would be answered with 503.
app = FastAPI(lifespan=gateway.lifespan)
app.mount("/ws", gateway.asgi())


@app.get("/login/{name}")
async def log_in(name: str) -> RedirectResponse:
    """Believe everybody, and go on to the gateway's page. An example, after all."""
    response = RedirectResponse("/ws/")
    response.set_cookie("session", session_of(name), httponly=True, samesite="lax")
    return response


@app.get("/whoami")
async def who_am_i(session: Annotated[str, Cookie()] = "") -> dict[str, str]:
    user = name_in(session)
    if user is None:
        raise HTTPException(401, "log in first")
    return {"user": user}


def session_of(name: str) -> str:
    """A cookie that only we can have made. All workers must have the same SECRET."""
    return f"{name.encode().hex()}.{_signature(name)}"


def name_in(session: str) -> str | None:
    """The name in a cookie that we made; None for any other."""
    text, _, signature = session.partition(".")
    try:
        name = bytes.fromhex(text).decode()
    except ValueError:
        return None
    return name if hmac.compare_digest(_signature(name).encode(), signature.encode()) else None


def _signature(name: str) -> str:
    return hmac.new(SECRET, name.encode(), hashlib.sha256).hexdigest()
