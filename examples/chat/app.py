"""Rooms to talk in, for browsers and for plain text sockets, inside a FastAPI application."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

import jwt
from fastapi import Body, FastAPI
from fastapi.responses import FileResponse

from gateway import (
    Admit,
    Connection,
    Denied,
    Gateway,
    Message,
    Publishing,
    Refused,
    Subscription,
)

SECRET = os.environ["GATEWAY_TOKEN_HMAC_SECRET_KEY"]  # ours to sign with, the gateway's to check
TOKEN_S = float(os.environ.get("TOKEN_SECONDS", "3600"))
HERE = Path(__file__).parent

ROOMS = {"room:tea": None, "room:board": {"ann", "bob"}}  # None: for everybody
LONGEST = 500
NOT_FOR_YOU = 4503  # from 4500 on: clients do not come back by themselves

gateway = Gateway()


# What holds for everybody, whatever they speak


def may_enter(user: str | None, room: str) -> bool:
    members = ROOMS.get(room, set())
    return user is not None and (members is None or user in members)


def line(user: str | None, text: object) -> str | None:
    """What a room hears when somebody says that; None if it may not be said."""
    if not isinstance(text, str) or not 1 <= len(text) <= LONGEST:
        return None
    return f"{user}: {text.replace('coffee', 'tea')}"


# Clients of the Centrifuge protocol: they subscribe and publish by themselves, and we are asked


@gateway.on_subscribe("room:*")
async def enter(subscription: Subscription) -> None:
    if not may_enter(subscription.connection.user, subscription.channel):
        raise Denied(message="this room is not for you")


@gateway.on_publish("room:*")
async def said(publishing: Publishing) -> str:
    user = publishing.connection.user
    # A hook is asked whether somebody has subscribed or not.
    text = line(user, publishing.data) if may_enter(user, publishing.channel) else None
    if text is None:
        raise Denied(400, f"say something, in at most {LONGEST} characters")
    return text


# Text clients: /communicate?room=tea. We subscribe them, and publish what they say


@gateway.on_connect
async def connected(connection: Connection) -> Admit:
    """The token was checked already. A client that names no room is not a text client."""
    room = room_of(connection)
    if room is None:
        return Admit()
    if not may_enter(connection.user, room):
        raise Refused(NOT_FOR_YOU, "this room is not for you")
    return Admit(channels=[room])


@gateway.on_message
async def typed(message: Message) -> str | None:
    room = room_of(message.connection)
    if room is None:
        return "say which room: /communicate?room=tea"
    if message.text == "/who":
        members = await gateway.presence(room)
        return "here: " + ", ".join(sorted({member.user for member in members.values()}))
    text = line(message.connection.user, message.text)
    if text is None:
        return f"say something, in at most {LONGEST} characters"
    await gateway.publish(room, text, idempotency_key=message.id)  # handled twice, it is said once
    return None


def room_of(connection: Connection) -> str | None:
    named = parse_qs(connection.query).get("room")
    return f"room:{named[0]}" if named else None


# The application around it

app = FastAPI(lifespan=gateway.lifespan)
app.mount("/chat", gateway.asgi())


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(HERE / "page.html")


@app.get("/room.js")
async def script() -> FileResponse:
    return FileResponse(HERE / "room.js", media_type="text/javascript")


@app.post("/token")
async def token(user: Annotated[str, Body(embed=True, min_length=1, max_length=40)]) -> str:
    """Believe everybody. An example, after all."""
    claims = {"sub": user, "aud": "chat", "exp": time.time() + TOKEN_S}
    return jwt.encode(claims, SECRET, algorithm="HS256")
