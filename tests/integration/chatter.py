"""Clients that keep talking, and notice when an answer is missing, doubled or out of order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from tests.support.trace_client import TraceClient, trace_client
from tests.support.waiting import eventually

WINDOW = 8  # unanswered messages of one client


class Chatter:
    """Several clients, each with a few messages on their way at any time.

    Attributes:
        answered: How many answers have come in.
        handled_by: Who answered the last message of each client.
    """

    def __init__(self, clients: Iterable[TraceClient]) -> None:
        self.clients = list(clients)
        self.answered = 0
        self.handled_by: dict[str, str] = {}
        self._ending = False

    async def talk(self) -> None:
        """Until ``stop``. Raises AssertionError at the first answer that is not the next one."""
        async with asyncio.TaskGroup() as tasks:
            for client in self.clients:
                tasks.create_task(self._talk(client))

    def stop(self) -> None:
        """Send no more; ``talk`` returns once everything is answered."""
        self._ending = True

    async def more(self, count: int, within_s: float = 15.0) -> None:
        """Wait for so many further answers."""
        goal = self.answered + count
        await eventually(lambda: self.answered >= goal, f"{count} more answers", within_s)

    async def _talk(self, client: TraceClient) -> None:
        sent = received = 0
        while not self._ending or received < sent:
            while not self._ending and sent - received < WINDOW:
                await client.socket.send(str(sent))
                sent += 1
            async with asyncio.timeout(20):
                answer = json.loads(await client.socket.recv())
            assert answer.get("text") == f"Received:{received}", answer
            received += 1
            self.answered += 1
            self.handled_by[client.connection] = answer["handled_by"]


@asynccontextmanager
async def chatter(*urls: str, each: int = 5) -> AsyncIterator[Chatter]:
    """So many talking clients at each address. At the end everything must have been answered."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(trace_client(url)) for url in urls for _ in range(each)
        ]
        made = Chatter(clients)
        talking = asyncio.create_task(made.talk())
        try:
            yield made
            made.stop()
            await talking
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
