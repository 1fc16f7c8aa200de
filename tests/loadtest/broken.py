"""Two gateways that break their promise once in a hundred times."""

from __future__ import annotations

import itertools

from gateway import Connection, Gateway, Message
from gateway.protocol.ids import ConnectionId

EVERY = 100

dropping = Gateway()
misrouting = Gateway()

_turns = itertools.count(1)
_seen: list[ConnectionId] = []


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
