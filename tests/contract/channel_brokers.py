"""What the tests of channel brokers have in common."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager

from gateway.channel_broker.base import ChannelBroker, HistoryOptions, Publishing, Stored
from gateway.channel_broker.redis import RedisChannelBroker
from gateway.errors import BrokerUnavailable
from gateway.protocol.channel_messages import ChannelMessage, read
from gateway.protocol.channel_position import Position

KEPT = HistoryOptions(size=100, ttl_s=60, meta_ttl_s=120)
_names = itertools.count()


def channel() -> str:
    return f"room:{next(_names)}"


class Listener:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.resyncs: list[set[str]] = []
        self.raising = False

    def on_messages(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self.got += messages
        if self.raising:
            raise RuntimeError("a receiver with a bug")

    def on_resync(self, channels: Collection[str]) -> None:
        self.resyncs.append(set(channels))
        if self.raising:
            raise RuntimeError("a receiver with a bug")

    def messages(self, name: str) -> list[ChannelMessage]:
        """What came for a channel, as read."""
        found = [read(payload) for channel, payload in self.got if channel == name]
        assert all(message is not None for message in found)
        return [message for message in found if message is not None]

    def offsets(self, name: str) -> list[int]:
        return [message.offset for message in self.messages(name)]

    def bodies(self, name: str) -> list[bytes]:
        return [message.body for message in self.messages(name)]


Running = Callable[[Listener], Awaitable[ChannelBroker]]
Make = Callable[[str, Listener], Awaitable[RedisChannelBroker]]


@asynccontextmanager
async def running(broker: ChannelBroker, receiver: Listener) -> AsyncIterator[ChannelBroker]:
    task = asyncio.create_task(broker.run(receiver))
    try:
        yield broker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_connected(broker: ChannelBroker, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not broker.connected:  # noqa: ASYNC110 (the server is another process)
            await asyncio.sleep(0.005)


async def publish(
    broker: ChannelBroker, name: str, body: bytes = b"", history: HistoryOptions | None = KEPT
) -> Stored:
    """Publish, once the broker is connected."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await broker.publish(Publishing(name, body, history))
            except BrokerUnavailable:
                await asyncio.sleep(0.01)


async def said(broker: ChannelBroker, name: str, count: int) -> list[Stored]:
    """Publish ``count`` with history: 1, 2, 3 …"""
    bodies = [b"%d" % n for n in range(1, count + 1)]
    return await asyncio.gather(*[broker.publish(Publishing(name, body, KEPT)) for body in bodies])


async def eventually_read(broker: ChannelBroker, name: str) -> Position:
    """The top, once the server can be asked."""
    async with asyncio.timeout(10):
        while True:
            try:
                return (await broker.read(name, None, KEPT)).top
            except BrokerUnavailable:
                await asyncio.sleep(0.01)


def no_offset_twice(*listeners: Listener) -> None:
    """No place in an epoch was ever given to two publications."""
    at: dict[tuple[str, int], bytes] = {}
    for listener in listeners:
        for name in {name for name, _ in listener.got}:
            for message in listener.messages(name):
                place = (name + message.epoch, message.offset)
                assert at.setdefault(place, message.body) == message.body
