"""A match that anybody may follow: on a page that recovers what it has missed, or as plain text."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from gateway import Admit, BadChannel, Connection, Gateway, Message, Refused, UnknownChannel

PAGE = (Path(__file__).parent / "page.html").read_text()
NO_SUCH_MATCH = 4504  # from 4500 on: clients do not come back by themselves

gateway = Gateway()


@gateway.on_connect
async def enter(connection: Connection) -> Admit:
    """A text client names its match in the query; a page subscribes by itself."""
    match = match_of(connection)
    if match is None:
        return Admit()
    try:
        await gateway.history(match, limit=0)  # may a channel be called that?
    except (BadChannel, UnknownChannel):
        raise Refused(NO_SUCH_MATCH, "no such match") from None
    return Admit(channels=[match])


@gateway.on_message
async def so_far(message: Message) -> str:
    """Whatever a text client says: every goal so far. Those to come arrive by themselves."""
    match = match_of(message.connection)
    if match is None:
        return "say which match: /communicate?match=final"
    goals = (await gateway.history(match, limit=100)).publications
    return "\n".join(json.dumps(goal.data) for goal in goals) or "no goals yet"


def match_of(connection: Connection) -> str | None:
    """The channel that a connection follows."""
    named = parse_qs(connection.query).get("match")
    return f"match:{named[0]}" if named else None


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


app = Starlette(
    routes=[Route("/", page), Mount("/live", gateway.asgi())], lifespan=gateway.lifespan
)
