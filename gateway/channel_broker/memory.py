"""Channels within one process: for `uvicorn gateway.asgi:app`, and for tests."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from gateway.channel_broker.base import ChannelReceiver, HistoryOptions, Page, Publishing, Stored
from gateway.channel_broker.epoch import new_epoch
from gateway.channel_broker.memory_streams import MemoryStreams
from gateway.log import get_logger
from gateway.protocol.channel_messages import MessageKind, message
from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import History

log = get_logger(__name__)
T = TypeVar("T")


class MemoryChannelBus:
    """What the workers of one event loop share.

    Args:
        now: Monotonic seconds, by which history expires.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.streams = MemoryStreams(now, new_epoch)
        self.subscribers: dict[str, list[MemoryChannelBroker]] = defaultdict(list)
        self.namespaces: str | None = None

    def publish(self, channel: str, payload: bytes) -> None:
        """To everybody who is subscribed, in a later turn of the loop."""
        for subscriber in self.subscribers.get(channel, ()):
            subscriber.arrive(channel, payload)


class MemoryChannelBroker:
    """``ChannelBroker`` on a ``MemoryChannelBus``. Deliveries come in a later turn of the loop."""

    def __init__(self, bus: MemoryChannelBus | None = None) -> None:
        self._bus = bus or MemoryChannelBus()
        self._channels: dict[str, None] = {}  # a set that keeps its order
        self._receiver: ChannelReceiver | None = None
        self._arrived: list[tuple[str, bytes]] = []
        self._pending: list[asyncio.Future[None]] = []  # subscribed before ``run``

    async def run(self, receiver: ChannelReceiver) -> None:
        self._receiver = receiver
        for subscribed in self._pending:
            _settle(subscribed, None)
        self._pending.clear()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._receiver = None
            for channel in list(self._channels):
                self.unsubscribe(channel)

    async def run_publishing(self) -> None:
        await asyncio.get_running_loop().create_future()

    @property
    def connected(self) -> bool:
        return True

    def subscribe(self, channel: str) -> asyncio.Future[None]:
        if channel not in self._channels:
            self._channels[channel] = None
            self._bus.subscribers[channel].append(self)
        if self._receiver is not None:
            return _soon(None)
        subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append(subscribed)
        return subscribed

    def unsubscribe(self, channel: str) -> None:
        if channel not in self._channels:
            return
        del self._channels[channel]
        self._arrived = [arrived for arrived in self._arrived if arrived[0] != channel]
        subscribers = self._bus.subscribers[channel]
        subscribers.remove(self)
        if not subscribers:
            del self._bus.subscribers[channel]

    def settle(self, channel: str = "") -> asyncio.Future[None]:  # noqa: ARG002 (all come one way)
        return _soon(None)  # behind the deliveries, whose turn was asked for before

    def publish(self, publishing: Publishing) -> asyncio.Future[Stored]:
        streams = self._bus.streams
        if publishing.idempotency_key:
            answered = streams.answer(publishing)
            if answered is not None:
                return _soon(answered)
        stored = streams.store(publishing)
        if not stored.suppressed:
            at = stored.position or Position("", 0)
            kind, body = MessageKind.PUBLICATION, publishing.body
            payload = message(kind, body, epoch=at.epoch, offset=at.offset)
            self._bus.publish(publishing.channel, payload)
        return _soon(stored)

    def tell(self, channel: str, message: bytes) -> asyncio.Future[Stored]:
        self._bus.publish(channel, message)
        return _soon(Stored(None))

    def read_at(self, channel: str) -> None:
        """All at one place."""

    async def read(self, channel: str, after: int | None, history: HistoryOptions) -> History:
        found = self._bus.streams.read(channel, after, history)
        await asyncio.sleep(0)  # as elsewhere, something may arrive before the answer does
        return found

    async def page(
        self,
        channel: str,
        history: HistoryOptions,
        *,
        limit: int,
        since: Position | None = None,
        reverse: bool = False,
    ) -> Page:
        page = self._bus.streams.page(channel, history, limit=limit, since=since, reverse=reverse)
        await asyncio.sleep(0)
        return page

    async def remove_history(self, channel: str) -> None:
        self._bus.streams.remove(channel)
        await asyncio.sleep(0)

    async def share_namespaces(self, said: str, *, starting: bool) -> None:
        if starting or self._bus.namespaces is None:
            self._bus.namespaces = said

    async def shared_namespaces(self) -> str | None:
        return self._bus.namespaces

    def arrive(self, channel: str, payload: bytes) -> None:
        """From the bus: keep it for a later turn."""
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._arrived.append((channel, payload))

    def resync(self) -> None:
        """For tests: say that messages may have been lost."""
        if self._receiver is not None:
            self._receiver.on_resync(tuple(self._channels))

    def _deliver(self) -> None:
        arrived, self._arrived = self._arrived, []
        if self._receiver is None or not arrived:
            return
        try:
            self._receiver.on_messages(arrived)
        except Exception:
            log.exception("receiver failed", messages=len(arrived))


def _soon(result: T) -> asyncio.Future[T]:
    """A future that has this result in a later turn of the loop."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    loop.call_soon(_settle, future, result)
    return future


def _settle(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)
