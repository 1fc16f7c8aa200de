"""A socket on plain ASGI, by itself. Served, it is in ``tests/integration/test_plain_asgi.py``."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.edge.sockets.asgi_socket import MESSAGES_PER_TURN, AsgiSocket
from gateway.protocol.receipt import Receipt
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

    socket = AsgiSocket(receive, send, certain=True)
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
    late = socket.write([b"late"])
    left.set()
    await running

    assert not takes
    assert late.result() is Receipt.GONE
    assert not socket.buffered_bytes


class Server:
    """A server that takes one text at a time, when it is told to."""

    def __init__(self, *, certain: bool) -> None:
        self.asked: list[str] = []
        self.taking = asyncio.Semaphore(0)
        self.gone = False
        self.socket = AsgiSocket(self._receive, self._send, certain=certain)
        self.socket.start(Listening(), farewell=(1000, "bye"))

    async def _receive(self) -> MutableMapping[str, Any]:
        return await asyncio.get_running_loop().create_future()

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.asked.append(message["text"])
        await self.taking.acquire()
        if self.gone:
            raise OSError


@pytest.mark.parametrize("certain", [True, False])
async def test_what_was_written_is_known_when_the_server_has_taken_it(certain: bool) -> None:
    """Red when a text that waits in our own queue counts as written."""
    server = Server(certain=certain)
    running = asyncio.create_task(server.socket.run())
    first, second = server.socket.write([b"1", b"2"]), server.socket.write([b"3"])
    server.taking.release()
    await eventually(lambda: server.asked == ["1", "2"], "the second text")
    assert not first.done()
    server.taking.release()

    assert await first is (Receipt.WRITTEN if certain else Receipt.UNREACHABLE)
    assert not second.done()
    server.socket.abort()
    await running


@pytest.mark.parametrize("how", ["aborted", "gone"])
async def test_of_what_a_broken_socket_leaves_behind_only_what_was_begun_is_in_doubt(
    how: str,
) -> None:
    server = Server(certain=True)
    running = asyncio.create_task(server.socket.run())
    writes = [server.socket.write([b"1"]), server.socket.write([b"2"]), server.socket.write([b"3"])]
    server.taking.release()
    await eventually(lambda: server.asked == ["1", "2"], "the second text")
    if how == "gone":
        server.gone = True
        server.taking.release()
        await asyncio.wait_for(writes[2], 5)
    server.socket.abort()
    await running

    wanted = [Receipt.WRITTEN, Receipt.UNREACHABLE, Receipt.GONE]
    assert [write.result() for write in writes] == wanted


async def test_a_client_that_floods_leaves_the_loop_to_others() -> None:
    """Red when a server that has a message at once is asked for the next one at once."""
    left = 1000

    async def receive() -> MutableMapping[str, Any]:
        nonlocal left
        left -= 1
        if left:
            return {"type": "websocket.receive", "text": "x"}
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: MutableMapping[str, Any]) -> None: ...

    socket = AsgiSocket(receive, send, certain=True)
    socket.start(Listening(), farewell=(1000, "bye"))
    running = asyncio.create_task(socket.run())
    in_a_turn = 0
    while not running.done():
        before = left
        await asyncio.sleep(0)
        in_a_turn = max(in_a_turn, before - left)

    assert in_a_turn <= MESSAGES_PER_TURN
