"""Clients that ask who holds them and who answered: the subprotocol ``gateway.trace.v1``."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

ANSWER_S = 15.0
AT_ONCE = 20  # handshakes; a storm of them is another test's subject


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply, and the worker whose handler wrote it."""

    text: str
    handled_by: str


@dataclass(frozen=True, slots=True)
class TraceClient:
    """One connection, and the worker that holds it."""

    socket: ClientConnection
    connection: str
    worker: str

    async def ask(self, text: str) -> Answer:
        """Send one message and wait for its answer."""
        async with asyncio.timeout(ANSWER_S):
            await self.socket.send(text)
            answer = json.loads(await self.socket.recv())
        return Answer(answer["text"], answer["handled_by"])


@asynccontextmanager
async def trace_client(url: str, **options: Any) -> AsyncIterator[TraceClient]:
    """Connect one client. ``options`` are those of ``websockets``."""
    offered = [Subprotocol("gateway.trace.v1")]
    async with connect(url, subprotocols=offered, proxy=None, **options) as socket:
        async with asyncio.timeout(ANSWER_S):
            greeting = json.loads(await socket.recv())
        yield TraceClient(socket, greeting["connection"], greeting["worker"])


@asynccontextmanager
async def trace_clients(url: str, count: int) -> AsyncIterator[list[TraceClient]]:
    """Connect many clients, a few at a time; all leave at the end."""
    async with AsyncExitStack() as stack:
        clients: list[TraceClient] = []
        while len(clients) < count:
            some = min(AT_ONCE, count - len(clients))
            coming = (stack.enter_async_context(trace_client(url)) for _ in range(some))
            clients += await asyncio.gather(*coming)
        yield clients


async def ask_all(clients: Sequence[TraceClient]) -> list[Answer]:
    """Every client asks something of its own at the same time. Answers are in their order."""
    return await asyncio.gather(*(c.ask(f"from {c.connection}") for c in clients))


def holders(clients: Sequence[TraceClient]) -> Counter[str]:
    """How many of the connections each worker holds."""
    return Counter(client.worker for client in clients)


def served_elsewhere(clients: Sequence[TraceClient], answers: Sequence[Answer]) -> set[str]:
    """The workers that answered for connections which they do not hold."""
    pairs = zip(clients, answers, strict=True)
    return {answer.handled_by for client, answer in pairs if answer.handled_by != client.worker}
