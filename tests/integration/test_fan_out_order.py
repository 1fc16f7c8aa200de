"""Real sockets that are written to together: one does not read, ends or closes; all is well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from gateway import Receipt
from gateway.channels.subscriber import Encoding
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import CLOSE, RawClient, close_frame, raw_websocket
from tests.support.waiting import eventually

CHANNELS: Final = Namespaces(without_namespace=ChannelOptions())
TEXT_BYTES: Final = 60_000
BEHIND: Final = 5


class Room:
    """Three clients of one channel, in their order of coming."""

    def __init__(self, served: InProcess, clients: list[RawClient]) -> None:
        self.clients = clients
        self.sent: list[str] = []
        self._served = served

    @property
    def together(self) -> int:
        """How many sockets are written to in one pass."""
        local = self._served.worker.parts.channels._channels["news"]
        return len(local.groups.get(Encoding.TEXT, ()))

    async def publish(self) -> None:
        self.sent.append(f"{len(self.sent):05}".ljust(TEXT_BYTES, "x"))
        await self._served.gateway.publish("news", self.sent[-1])


@asynccontextmanager
async def room(settings: MakeSettings) -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(
            in_process(settings(channel=CHANNELS, outbox_bytes=1 << 24))
        )
        clients = [await stack.enter_async_context(raw_websocket(served.port)) for _ in range(3)]
        hub = served.worker.parts.hub
        await eventually(lambda: len(hub) == 3, "three connections")
        for local in hub:
            assert await served.gateway.subscribe(local.id, "news") is Receipt.WRITTEN
        made = Room(served, clients)
        await made.publish()
        await eventually(lambda: made.together == 3, "all are written to together")
        yield made


async def test_one_that_does_not_read_misses_nothing_and_the_others_do_not_wait(
    settings: MakeSettings,
) -> None:
    async with room(settings) as made:
        slow, *others = made.clients
        slow.stop_reading()
        rounds = 0
        while made.together == 3 or rounds < BEHIND:
            await made.publish()
            for client in others:
                assert await client.texts(1) == made.sent[-2:-1]
            rounds += made.together == 2
        slow.start_reading()

        assert await slow.texts(len(made.sent)) == made.sent
        await made.publish()
        for client in others:
            assert await client.texts(2) == made.sent[-2:]
        assert await slow.texts(1) == made.sent[-1:]
        await eventually(lambda: made.together == 3, "all are written to together again")


async def test_ends_in_between_harm_nobody(settings: MakeSettings) -> None:
    async with room(settings) as made:
        aborts, closes, stays = made.clients
        aborts.abort()
        closes.send(close_frame(1000, "bye"))
        for _ in range(BEHIND):
            await made.publish()

        assert await stays.texts(len(made.sent)) == made.sent
        *texts, last = await closes.rest()
        assert [frame.text for frame in texts] == made.sent[: len(texts)]
        assert last.opcode == CLOSE
        assert made.together == 1
