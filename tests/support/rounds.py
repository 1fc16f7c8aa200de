"""Rounds of routed messages that are the same each time, for counting what they cost.

    python -m tests.support.rounds REDIS_URL ROUNDS

One event loop holds an edge worker, a handler worker and ``CLIENTS`` clients. Each client says one
message, all of them in one turn of the loop, and the next round begins once everybody is answered.
So what is done in one go does not depend on how fast anything is, and neither do the counts.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Final, Self

import uvloop

from tests.support.inprocess import in_process, redis_settings
from tests.support.rawclient import request, text_frame
from tests.support.waiting import eventually

CLIENTS: Final = 200
ROUND_S: Final = 60.0


class Crowd:
    """Clients that are served in the loop that serves the workers.

    They call ``sendto`` and ``recvfrom``; a worker's loop reads with ``read`` and writes with
    ``write``. Who counts system calls can tell them apart.
    """

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._awaited: set[int] = set()
        self._text = ""
        for number, client in enumerate(sockets):
            self._loop.add_reader(client, self._read, number)

    @classmethod
    async def connect(cls, port: int, count: int) -> Self:
        loop = asyncio.get_running_loop()
        sockets = []
        for _ in range(count):
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, request())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await loop.sock_recv(client, 4096)
            assert head.startswith(b"HTTP/1.1 101 "), head
            sockets.append(client)
        return cls(sockets)

    async def round(self, number: int) -> None:
        """Everybody says one message and gets the answer to it, and nothing else."""
        self._text = f"{number:04}".ljust(60, "x")
        self._awaited = set(range(len(self._sockets)))
        self._answered = self._loop.create_future()
        for place, client in enumerate(self._sockets):
            client.send(text_frame(f"{place:04}{self._text}"))
        async with asyncio.timeout(ROUND_S):
            await self._answered

    def _read(self, place: int) -> None:
        got = self._sockets[place].recv(4096)
        wanted = f"Received:{place:04}{self._text}".encode()
        if got[2:] == wanted and place in self._awaited:
            self._awaited.discard(place)
            if not self._awaited:
                self._answered.set_result(None)
        elif not self._answered.done():
            self._answered.set_exception(AssertionError(f"client {place} got {got!r}"))

    def close(self) -> None:
        for client in self._sockets:
            self._loop.remove_reader(client)
            client.close()


async def main(url: str, rounds: int) -> None:
    edge_own, handler_own = (redis_settings(url, "rounds", role=r) for r in ("edge", "handler"))
    async with in_process(handler_own), in_process(edge_own) as edge:
        await eventually(lambda: edge.worker.parts.members.handlers, "a handler")
        crowd = await Crowd.connect(edge.port, CLIENTS)
        try:
            for number in range(rounds):
                await crowd.round(number)
        finally:
            crowd.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
