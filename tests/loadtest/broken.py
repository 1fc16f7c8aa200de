"""Two gateways that break their promise once in a hundred times, and one that shuts its door."""

from __future__ import annotations

import itertools
import time

from gateway import Connection, Gateway, Message
from gateway.protocol.ids import ConnectionId

EVERY = 100
OPEN_S = 6.0  # since the first came

dropping = Gateway()
misrouting = Gateway()
shutting = Gateway()

_turns = itertools.count(1)
_seen: list[ConnectionId] = []
_came: list[float] = []


@dropping.on_message
async def drop_some(message: Message) -> str | None:
    """An answer without a frame, to a client that waits for one."""
    return None if next(_turns) % EVERY == 0 else f"Received:{message.text}"


@misrouting.on_message
async def misroute_some(message: Message) -> str | None:
    """The answer goes to whoever asked before."""
    mine: Connection = message.connection
    other = next((seen for seen in _seen if seen != mine.id), None)
    _seen[:] = [ConnectionId(mine.id), *_seen[:1]]
    if next(_turns) % EVERY or other is None:
        return f"Received:{message.text}"
    await misrouting.send(other, f"Received:{message.text}")
    return None


@shutting.on_connect
async def admit_for_a_while(connection: Connection) -> None:
    _came.append(time.monotonic())
    if _came[-1] - _came[0] > OPEN_S:
        raise RuntimeError("the door is shut")


@shutting.on_message
async def echo(message: Message) -> str:
    return f"Received:{message.text}"
