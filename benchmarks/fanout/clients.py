"""Loads of clients of the Centrifuge protocol: many that subscribe, recover, or do nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any, Final

import psutil

from benchmarks.fanout.crowd import entered
from benchmarks.fanout.dialects import CENTRIFUGE, compact
from benchmarks.fanout.stream import CLOSE as CLOSE_OPCODE
from benchmarks.fanout.stream import PING, TEXT, frames
from benchmarks.fanout.wire import CLOSE, PONG, WireSocket, framed
from benchmarks.talking import ANSWERED_WITHIN_S, AT_ONCE, Window

SUBSCRIBE: Final = 7  # the id of that command, and so of its reply
PROBE: Final = 9
PUBLISHED_PER_S: Final = 20
IDLE_CHANNELS: Final = 1000


class Client:
    """One client. ``on_reply`` and ``on_publication`` get what comes."""

    def __init__(self, socket: WireSocket) -> None:
        self.socket = socket
        self.replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.offsets: list[int] = []
        self._heard = bytearray()
        socket.on_bytes = self._hear

    @classmethod
    async def connected(cls, url: str, number: int) -> Client:
        says, expects = CENTRIFUGE.publisher
        return cls(await entered(url, number, says, expects))

    async def ask(self, number: int, command: str, **fields: Any) -> dict[str, Any]:
        """The reply to one command.

        Raises:
            TimeoutError: There was none.
        """
        reply = self.replies[number] = asyncio.get_running_loop().create_future()
        self._say({"id": number, command: fields})
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            found: dict[str, Any] = await reply
        return found

    def leave(self) -> None:
        if not self.socket.closed:
            self.socket.transport.write(CLOSE)
            self.socket.transport.close()

    def _say(self, command: dict[str, Any]) -> None:
        self.socket.transport.write(framed(compact(command).encode()))

    def _hear(self, data: bytes) -> None:
        self._heard += data
        read = 0
        for opcode, payload, end in frames(self._heard, 0):
            read = end
            if opcode == TEXT:
                for line in payload.split(b"\n"):
                    self._take(json.loads(line))
            elif opcode == PING:
                self.socket.transport.write(PONG)
            elif opcode == CLOSE_OPCODE:
                self.socket.closed = True
        del self._heard[:read]

    def _take(self, message: dict[str, Any]) -> None:
        if not message:
            self._say({})
        elif pub := message.get("push", {}).get("pub"):
            self.offsets.append(pub.get("offset", 0))
        elif waiting := self.replies.pop(message.get("id", 0), None):
            for pub in message.get("subscribe", {}).get("publications", ()):
                self.offsets.append(pub["offset"])
            waiting.set_result(message)


async def connected(job: dict[str, Any], urls: list[str]) -> list[Client]:
    """All clients of a job, a few at a time."""
    clients: list[Client] = []
    while (start := len(clients)) < job["connections"]:
        some = range(start, min(start + AT_ONCE, job["connections"]))
        clients += await asyncio.gather(
            *(Client.connected(urls[number % len(urls)], number) for number in some)
        )
    return clients


async def subscribe_all(
    job: dict[str, Any], clients: list[Client], window: Window
) -> dict[str, Any]:
    """Everybody subscribes to one channel, ``at_once`` at a time."""
    faults: Counter[str] = Counter()
    await asyncio.sleep(max(0.0, window.begin - time.monotonic()))
    began, left = time.monotonic(), iter(clients)

    async def one() -> None:
        for client in left:
            since = time.monotonic()
            reply = await client.ask(SUBSCRIBE, "subscribe", channel=job["channel"])
            window.answered(since, time.monotonic())
            faults["refused"] += "error" in reply

    await asyncio.gather(*(one() for _ in range(job["at_once"])))
    lasted_s = time.monotonic() - began
    faults["took longer than the window"] = time.monotonic() > window.end
    return _summed(clients, window, faults) | {"lasted_s": lasted_s}


class Returning:
    """One that recovers once its worker is killed."""

    def __init__(self, client: Client, number: int, url: str, channel: str) -> None:
        self.client = client
        self.faults: Counter[str] = Counter()
        self._number = number
        self._url = url
        self._channel = channel
        self._epoch = ""
        self._first = 0

    async def enter(self) -> None:
        found = (await self._subscribe())["subscribe"]
        self._epoch, self._first = found.get("epoch", ""), found.get("offset", 0)

    async def come_back(self) -> None:
        """Through another worker, and from where it was."""
        await self.client.socket.lost.wait()
        offsets = self.client.offsets
        newest = offsets[-1] if offsets else self._first
        self.client = await Client.connected(self._url, self._number)
        self.client.offsets = offsets
        found = await self._subscribe(recover=True, epoch=self._epoch, offset=newest)
        if not found.get("subscribe", {}).get("recovered"):
            self.faults["not recovered"] += 1

    def judge(self) -> Counter[str]:
        offsets = self.client.offsets
        expected = list(range(self._first + 1, self._first + 1 + len(offsets)))
        self.faults["lost, doubled or reordered"] += offsets != expected
        return +self.faults

    async def _subscribe(self, **recovery: Any) -> dict[str, Any]:
        return await self.client.ask(
            SUBSCRIBE, "subscribe", channel=self._channel, recoverable=True, **recovery
        )


async def recover_all(job: dict[str, Any], clients: list[Client], window: Window) -> dict[str, Any]:
    """The worker of all is killed, under publications; they come back at once, through the other.

    How long it took counts from the kill.
    """
    other = job["urls"][1]
    returning = [Returning(c, n, other, job["channel"]) for n, c in enumerate(clients)]
    await asyncio.gather(*(one.enter() for one in returning))
    publisher = await Client.connected(other, 0)
    publishing = asyncio.create_task(_publish(publisher, job["channel"], window))
    await asyncio.sleep(max(0.0, window.begin - time.monotonic()))
    for worker in psutil.Process(job["pids"][0]).children():
        worker.kill()
    began = time.monotonic()

    async def one(client: Returning) -> None:
        await client.come_back()
        window.answered(began, time.monotonic())

    await asyncio.gather(*map(one, returning))
    lasted_s = time.monotonic() - began
    await publishing
    await asyncio.sleep(0.3)
    faults: Counter[str] = Counter()
    for client in returning:
        faults += client.judge()
    faults["took longer than the window"] = began + lasted_s > window.end
    summed = _summed([client.client for client in returning], window, faults)
    return summed | {"lasted_s": lasted_s, "notes": f"all are live after {lasted_s:.2f} s"}


async def _publish(publisher: Client, channel: str, window: Window) -> None:
    number = PROBE
    while time.monotonic() < window.end:
        number += 1
        await publisher.ask(number, "publish", channel=channel, data="x")
        await asyncio.sleep(1 / PUBLISHED_PER_S)


async def rest(job: dict[str, Any], clients: list[Client], window: Window) -> dict[str, Any]:
    """Nobody says anything; at the end all must still be served."""
    await asyncio.sleep(max(0.0, window.end - time.monotonic()))
    faults: Counter[str] = Counter()
    for client in clients[:: max(1, len(clients) // 100)]:
        await client.ask(PROBE, "rpc", method=job["channel"])
    return _summed(clients, window, faults)


async def subscribe_each(clients: list[Client], channels: int) -> None:
    """Each to its own few of a thousand channels."""
    for start in range(0, len(clients), AT_ONCE):
        await asyncio.gather(
            *(
                client.ask(
                    SUBSCRIBE + which,
                    "subscribe",
                    channel=f"bench-{(start + at + which) % IDLE_CHANNELS}",
                )
                for at, client in enumerate(clients[start : start + AT_ONCE])
                for which in range(channels)
            )
        )


def _summed(clients: list[Client], window: Window, faults: Counter[str]) -> dict[str, Any]:
    faults["closed"] += sum(client.socket.closed for client in clients)
    for client in clients:
        client.leave()
    return {"took_us": dict(window.took_us), "faults": dict(+faults)}
