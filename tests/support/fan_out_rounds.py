"""Rounds of publications to many that are the same each time, for counting what they cost.

    python -m tests.support.fan_out_rounds REDIS_URL ROUNDS AT_ONCE

One event loop holds a worker that publishes, one that has ``SUBSCRIBERS`` text sockets in a
channel, and their clients. Each round is ``AT_ONCE`` publications of one turn of the loop; the next
begins once everybody has got all of them.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import uvloop

from gateway import Receipt
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.support.inprocess import InProcess, cluster, redis_settings
from tests.support.rounds import ROUND_S, Crowd

SUBSCRIBERS: Final = 100
CHANNEL: Final = "news"
CHANNELS: Final = Namespaces(without_namespace=ChannelOptions())


class Audience(Crowd):
    """Clients that are in one channel."""

    @classmethod
    async def enter(cls, served: InProcess, count: int, channel: str = CHANNEL) -> Audience:
        audience = await cls.connect(served.port, count)
        for connection in [local.id for local in served.worker.parts.hub]:
            receipt = await served.gateway.subscribe(connection, channel)
            assert receipt is Receipt.WRITTEN, receipt
        return audience

    async def hear(self, by: InProcess, texts: list[str], channel: str = CHANNEL) -> None:
        """Publish these in one turn of the loop. Everybody gets them, in order, and no more."""
        frames = [bytes((0x81, len(text))) + text.encode() for text in texts]
        self._wanted = b"".join(frames)
        self._heard = [b""] * len(self._sockets)
        self._awaited = set(range(len(self._sockets)))
        self._answered = self._loop.create_future()
        async with asyncio.timeout(ROUND_S):
            await asyncio.gather(*(by.gateway.publish(channel, text) for text in texts))
            await self._answered

    def _read(self, place: int) -> None:
        self._heard[place] += self._sockets[place].recv(1 << 16)
        if self._heard[place] == self._wanted and place in self._awaited:
            self._awaited.discard(place)
            if not self._awaited:
                self._answered.set_result(None)
        elif not (self._wanted.startswith(self._heard[place]) or self._answered.done()):
            self._answered.set_exception(AssertionError(f"client {place}: {self._heard[place]!r}"))


def texts_of(number: int, at_once: int) -> list[str]:
    return [f"{number:04}:{place:04}:".ljust(64, "x") for place in range(at_once)]


async def main(url: str, rounds: int, at_once: int) -> None:
    async with cluster(redis_settings(url, "rounds", channel=CHANNELS), 2) as (publisher, served):
        audience = await Audience.enter(served, SUBSCRIBERS)
        try:
            for number in range(rounds):
                await audience.hear(publisher, texts_of(number, at_once))
        finally:
            audience.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
