"""A backend that pushes on schedule and compares every receipt with what the sockets got."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

API_KEY: Final = "key-of-the-tests"
ANSWER_S: Final = 10.0
AT_ONCE: Final = 64

_STATUS: Final = {200: "written", 410: "gone", 429: "slow", 503: "unreachable"}


@dataclass(slots=True)
class Push:
    """One send and what became of it."""

    connection: str
    receipt: str = "no answer"  # of the worker that was asked: it died
    arrived: int = 0


@dataclass
class Receipts:
    """Every push of a run. ``lies`` are the promises that were broken."""

    pushes: dict[str, Push] = field(default_factory=dict)
    misrouted: int = 0
    unasked: int = 0

    def arrived(self, text: str, connection: str) -> None:
        """A socket got this."""
        push = self.pushes.get(text)
        if push is None:
            self.unasked += 1
        elif push.connection != connection:
            self.misrouted += 1
        else:
            push.arrived += 1

    def lies(self, still_open: set[str]) -> dict[str, int]:
        """What was not true, given the connections that stayed open to the end."""
        pushes = self.pushes.values()
        found = {
            "written, and never arrived": sum(
                p.receipt == "written" and not p.arrived and p.connection in still_open
                for p in pushes
            ),
            "gone, and lives": sum(
                p.receipt == "gone" and p.connection in still_open for p in pushes
            ),
            "slow, and arrived": sum(p.receipt == "slow" and p.arrived > 0 for p in pushes),
            "arrived twice": sum(p.arrived > 1 for p in pushes),
            "arrived elsewhere": self.misrouted,
            "arrived unasked": self.unasked,
        }
        return {lie: count for lie, count in found.items() if count}

    @property
    def missing(self) -> int:
        """Written, and not arrived (yet)."""
        return sum(p.receipt == "written" and not p.arrived for p in self.pushes.values())

    def table(self) -> str:
        """One line of figures for people."""
        counts = Counter(push.receipt for push in self.pushes.values())
        arrived = sum(push.arrived for push in self.pushes.values())
        return (
            f"pushed {len(self.pushes)}, arrived {arrived}, receipts {dict(sorted(counts.items()))}"
        )


class Pusher:
    """``per_second`` pushes to connections that ``pick`` names, each asked of a random worker.

    Args:
        urls: Of any workers; those of WebSockets will do.
        pick: The connection to push to next; empty: to none now.
    """

    def __init__(self, urls: Sequence[str], pick: Callable[[], str], per_second: float) -> None:
        self.receipts = Receipts()
        self._ports = [urlsplit(url).port or 80 for url in urls]
        self._pick = pick
        self._per_second = per_second
        self._serial = itertools.count(1)
        self._idle: dict[int, list[Channel]] = {port: [] for port in self._ports}
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Push on schedule until cancelled."""
        loop = asyncio.get_running_loop()
        start, count = loop.time(), 0
        while True:
            due = int((loop.time() - start) * self._per_second)
            for _ in range(count, due):
                connection = self._pick()
                if connection and len(self._under_way) < AT_ONCE:
                    task = asyncio.create_task(self._push(connection))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
            count = due
            await asyncio.sleep(0.004)

    async def finish(self) -> Receipts:
        """Wait for the receipts of what was pushed, and hang up."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=ANSWER_S)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        for channels in self._idle.values():
            for channel in channels:
                channel.close()
        return self.receipts

    def _kept_alive(self, port: int) -> Channel | None:
        """One that the server has not closed for being idle."""
        idle = self._idle[port]
        while idle:
            channel = idle.pop()
            if not channel.ended:
                return channel
            channel.close()
        return None

    async def _push(self, connection: str) -> None:
        text = f"push {next(self._serial)}"
        push = self.receipts.pushes[text] = Push(connection)
        port = random.choice(self._ports)
        channel: Channel | None = None
        with suppress(OSError, EOFError, ValueError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                channel = self._kept_alive(port) or await Channel.open(port)
                status = await channel.post(f"/@connections/{connection}", text)
                push.receipt = _STATUS.get(status, str(status))
                self._idle[port].append(channel)
                return
        if channel is not None:
            channel.close()


class Channel:
    """One kept-alive HTTP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Channel:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @property
    def ended(self) -> bool:
        return self._reader.at_eof()

    async def post(self, path: str, text: str) -> int:
        """Returns the status. Any failure means that nobody knows."""
        body = text.encode()
        self._writer.write(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {API_KEY}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        lengths: list[Any] = [
            line.split(":")[1] for line in lines if line.lower().startswith("content-length:")
        ]
        await self._reader.readexactly(int(lengths[0]) if lengths else 0)
        return int(lines[0].split()[1])

    def close(self) -> None:
        self._writer.close()
