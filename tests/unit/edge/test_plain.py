"""A socket on plain ASGI, by itself. Served, it is in ``tests/integration/test_plain_asgi.py``."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.edge.plain import PlainSocket
from tests.support.waiting import eventually


class Listening:
    """Notes the end."""

    def __init__(self) -> None:
        self.closed = 0

    def on_text(self, text: str) -> None: ...

    def on_binary(self) -> None: ...

    def on_close(self, code: int, reason: str) -> None:
        self.closed += 1


@pytest.mark.parametrize("end", ["close", "abort", "disconnect"])
async def test_it_takes_writes_until_either_side_ends_it(end: str) -> None:
    """Red when an aborted socket, or one whose client has left, still takes what nobody gets."""
    left = asyncio.Event()
    listener = Listening()

    async def receive() -> MutableMapping[str, Any]:
        await left.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: MutableMapping[str, Any]) -> None: ...

    socket = PlainSocket(receive, send)
    socket.start(listener, farewell=(1000, "bye"))
    running = asyncio.create_task(socket.run())
    assert socket.takes_writes
    if end == "close":
        socket.close(1000, "bye")
    elif end == "abort":
        socket.abort()
    else:
        left.set()
        await eventually(lambda: listener.closed == 1, "the end")
    takes = socket.takes_writes
    socket.write([b"late"])
    left.set()
    await running

    assert not takes
    assert not socket.buffered_bytes
