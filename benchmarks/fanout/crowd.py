"""Subscribers and publishers of one channel, and the loads that they make."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.fanout.dialects import (
    CHANNEL,
    FANOUT_DIALECTS,
    REFUSED,
    FanoutDialect,
    publish_url,
)
from benchmarks.fanout.stream import CLOSE as CLOSE_OPCODE
from benchmarks.fanout.stream import PING, Burst, Hearing, frames, text_of
from benchmarks.fanout.wire import CLOSE, PONG, WireSocket, framed, opened
from benchmarks.talking import ANSWERED_WITHIN_S, AT_ONCE, LINGER_S, Window

PUBLISHERS: Final = 20  # connections: each has its share of a burst
BYSTANDERS: Final = 2  # of another channel, who are to hear nothing
ELSEWHERE: Final = "elsewhere"


class Entering:
    """The greeting of one socket, until all of it was answered."""

    def __init__(self, says: list[str], expects: list[bytes]) -> None:
        self._says = [text.encode() for text in says]
        self._expects = expects
        self._step = 0
        self._heard = bytearray()
        self._parsed = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.socket: WireSocket

    def begin(self, socket: WireSocket) -> None:
        self.socket = socket
        self._say()

    def hear(self, data: bytes) -> None:
        self._heard += data
        for _, payload, end in frames(self._heard, self._parsed):
            self._parsed = end
            if self.done.done():
                continue
            if not (self._expects[self._step] in payload and b'"error"' not in payload):
                self.done.set_exception(OSError(f"refused: {payload[:200]!r}"))
                return
            self._step += 1
            self._say()

    def _say(self) -> None:
        if self._step == len(self._expects):
            self.done.set_result(None)
        elif text := self._says[self._step]:
            self.socket.transport.write(framed(text))


async def entered(
    url: str, number: int, says: list[str], expects: list[bytes], *, http: bool = False
) -> WireSocket:
    """A socket whose greeting was answered.

    Raises:
        OSError, TimeoutError: It was refused, or not answered.
    """
    early = bytearray()
    socket = await opened(url, number, early.extend, http=http)
    entering = Entering(says, expects)
    socket.on_bytes = entering.hear
    entering.begin(socket)
    if early:
        entering.hear(bytes(early))
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        await entering.done
    return socket


class Subscriber:
    """One of the crowd: what it hears is judged and counted."""

    def __init__(self, crowd: Crowd, socket: WireSocket) -> None:
        self.socket = socket
        self._crowd = crowd
        self._hearing = Hearing(crowd.burst)
        socket.on_bytes = self._hear

    def _hear(self, data: bytes) -> None:
        crowd, hearing = self._crowd, self._hearing
        if hearing.burst is not crowd.burst:
            hearing.begin(crowd.burst)
        if new := hearing.hear(data):
            crowd.delivered(new)
        if hearing.stream.own:
            self._answer()

    def _answer(self) -> None:
        own = self._hearing.stream.own
        for opcode, payload in own:
            pong = self._crowd.dialect.pong(payload)
            if opcode == PING:
                self.socket.transport.write(PONG)
            elif opcode == CLOSE_OPCODE:
                self._crowd.faults[f"closed with {int.from_bytes(payload[:2], 'big')}"] += 1
            elif pong is not None:
                self.socket.transport.write(framed(pong))
        own.clear()


class Publisher:
    """One connection that publishes. What is said of it is looked at for refusals."""

    def __init__(self, crowd: Crowd, number: int, socket: WireSocket, url: str) -> None:
        self.number = number
        self.sequence = 0
        self.socket = socket
        self._crowd = crowd
        self._path = urlsplit(url).path
        self._heard = bytearray()
        socket.on_bytes = self._hear

    def publish(self, count: int) -> None:
        dialect, crowd = self._crowd.dialect, self._crowd
        written = []
        for _ in range(count):
            self.sequence += 1
            text = text_of(crowd.channel, self.number, self.sequence, crowd.size_bytes)
            one = dialect.publish(crowd.channel, text)
            if dialect.http:
                written.append(one.replace("{path}", self._path, 1).encode())
            else:
                written.append(framed(one.encode()))
        self.socket.transport.write(b"".join(written))

    def _hear(self, data: bytes) -> None:
        if self._crowd.dialect.http:
            self._judge(data)
            return
        self._heard += data
        read = 0
        for opcode, payload, end in frames(self._heard, 0):
            read = end
            pong = self._crowd.dialect.pong(payload)
            if opcode == PING:
                self.socket.transport.write(PONG)
            elif pong is not None:
                self.socket.transport.write(framed(pong))
            else:
                self._judge(payload)
        del self._heard[:read]

    def _judge(self, answer: bytes) -> None:
        if self._crowd.dialect.refused(answer):
            self._crowd.faults[f"{REFUSED}: {answer[:120]!r}"] += 1


class Crowd:
    """Subscribers on all servers in turn, and publishers likewise."""

    def __init__(self, job: dict[str, Any], window: Window) -> None:
        self.dialect: FanoutDialect = FANOUT_DIALECTS[job["dialect"]]
        self.channel: str = job["channel"]
        self.size_bytes: int = job["size_bytes"]
        self.faults: Counter[str] = Counter()
        self.deliveries = 0  # in the window
        self.publications = 0
        self._job = job
        self._window = window
        self._subscribers: list[Subscriber] = []
        self._publishers: list[Publisher] = []
        self._missing = 0
        self._all = asyncio.Event()
        self._since = 0.0
        self.burst = self._burst()

    async def enter(self) -> None:
        """Connect everybody and subscribe, a few at a time."""
        wanted = self._job["connections"]
        for start in range(0, wanted, AT_ONCE):
            some = range(start, min(start + AT_ONCE, wanted))
            self._subscribers += await asyncio.gather(*map(self._subscriber, some))
        for number in range(BYSTANDERS):
            socket = await self._enter(number, ELSEWHERE)
            socket.on_bytes = self._overheard
        for number in range(min(PUBLISHERS, max(2, self._job["at_once"]))):
            self._publishers.append(await self._publisher(number))

    async def publish(self) -> dict[str, Any]:
        """Burst after burst, each when the one before has reached everybody."""
        at_once, turn = self._job["at_once"], 0
        while time.monotonic() < self._window.end and not self.faults:
            self.burst = self._burst()
            self._missing = at_once * len(self._subscribers)
            self._all.clear()
            self._since = time.monotonic()
            for number in range(min(at_once, len(self._publishers))):
                share = at_once // min(at_once, len(self._publishers))
                self._publishers[(turn + number) % len(self._publishers)].publish(share)
            turn += 1
            try:
                async with asyncio.timeout(self._window.answered_within_s):
                    await self._all.wait()
            except TimeoutError:
                self.faults["lost"] += self._missing
            if self._window.begin <= time.monotonic() < self._window.end:
                self.publications += at_once
            self.faults += self.burst.faults()
        return await self._leave()

    def delivered(self, count: int) -> None:
        now, window = time.monotonic(), self._window
        if window.begin <= now < window.end:
            self.deliveries += count
            window.took_us[round((now - self._since) * 1e6)] += count
        self._missing -= count
        if not self._missing:
            self._all.set()

    async def _leave(self) -> dict[str, Any]:
        self.burst = self._burst()  # what comes now comes twice
        await asyncio.sleep(LINGER_S)
        self.faults += self.burst.faults()
        sockets = [one.socket for one in self._subscribers]
        sockets += [one.socket for one in self._publishers]
        self.faults["closed"] += sum(socket.closed for socket in sockets)
        for socket in sockets:
            if not socket.closed:
                socket.transport.write(b"" if self.dialect.http else CLOSE)
                socket.transport.close()
        lasted_s = self._window.end - self._window.begin
        return {
            "took_us": dict(self._window.took_us),
            "faults": dict(+self.faults),
            "notes": f"{self.publications / lasted_s:,.0f} publications/s",
        }

    def _burst(self) -> Burst:
        newest = {one.number: one.sequence for one in self._publishers}
        return Burst(self.dialect.read, self.channel, newest, self.size_bytes)

    async def _subscriber(self, number: int) -> Subscriber:
        return Subscriber(self, await self._enter(number, self.channel))

    async def _enter(self, number: int, channel: str) -> WireSocket:
        url = self._job["urls"][number % len(self._job["urls"])].replace(CHANNEL, channel)
        says = self.dialect.greeting(channel)
        return await entered(url, number, says, self.dialect.expects)

    async def _publisher(self, number: int) -> Publisher:
        urls = self._job["urls"]
        url = publish_url(self.dialect, urls[number % len(urls)]).replace(CHANNEL, self.channel)
        says, expects = self.dialect.publisher
        socket = await entered(url, number, says, expects, http=self.dialect.http)
        return Publisher(self, number, socket, url)

    def _overheard(self, data: bytes) -> None:
        if self.channel.replace(":", "/").encode() + b":" in data:
            self.faults["misrouted"] += 1
