"""A backend that publishes on schedule, past all workers, and knows where each publication is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType

import msgspec

from gateway.channel_broker.base import HistoryOptions, Publishing, Stored
from gateway.channel_broker.redis_cluster import channel_broker_at
from gateway.protocol.channel_messages import PublicationBody, encode, read_publication
from gateway.protocol.recovery import MAX_READ
from gateway.redis_support.url import parse
from tests.support.centrifuge_messages import Data
from tests.support.channel_ledger import ChannelLedger

_read = msgspec.json.Decoder(Data).decode


class ChannelPublisher:
    """Publishes to each channel ``per_second`` times a second while it runs. A context manager.

    Args:
        channels: With how much of each is kept.
        redis_url: Of the server itself: what cuts off workers does not cut off this.
        padding: Bytes that each publication has besides.
    """

    def __init__(
        self,
        redis_url: str,
        channels: Mapping[str, HistoryOptions],
        ledger: ChannelLedger,
        *,
        per_second: float = 20.0,
        padding: int = 0,
    ) -> None:
        self._broker = channel_broker_at(parse(redis_url), prefix="gw", name="backend")
        self._channels = channels
        self._ledger = ledger
        self._per_second = per_second
        self._padding = "x" * padding
        self._serials: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[Stored]] = set()
        self._running: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sending = asyncio.create_task(self._send())

    async def pause(self) -> None:
        """Publish no more; what is under way stays so."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
            self._sending = None

    async def stop(self) -> None:
        """Stop, and wait until what was published last is known, by whomever."""
        await self.pause()
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=10)
        for channel, history in self._channels.items():
            page = await self._broker.page(channel, history, limit=MAX_READ, reverse=True)
            self._ledger.see(channel, (page.top.epoch, page.top.offset))
            for offset, body in page.publications:
                data = _read(read_publication(body).data)
                self._ledger.is_serial(channel, (page.top.epoch, offset), data.n)

    def publish(self, channel: str) -> asyncio.Future[Stored]:
        """Publish the next one."""
        self._serials[channel] += 1
        serial = self._serials[channel]
        data = msgspec.json.encode(Data(channel, serial, self._loop.time(), self._padding))
        publishing = Publishing(channel, encode(PublicationBody(data)), self._channels[channel])
        stored = self._broker.publish(publishing)
        self._waiting.add(stored)
        stored.add_done_callback(lambda done: self._stored(channel, serial, done))
        return stored

    def _stored(self, channel: str, serial: int, done: asyncio.Future[Stored]) -> None:
        self._waiting.discard(done)
        if done.exception() is not None:
            self._ledger.in_doubt += 1
            return
        position = done.result().position
        assert position is not None
        self._ledger.stored(channel, (position.epoch, position.offset), serial)

    async def _send(self) -> None:
        """Each channel has its own place in the interval, so that the load is even."""
        channels = list(self._channels)
        interval_s = 1 / self._per_second / len(channels)
        start, count = self._loop.time(), 0
        while True:
            due = int((self._loop.time() - start) / interval_s)
            for turn in range(count, due):
                self.publish(channels[turn % len(channels)])
            count = due
            await asyncio.sleep(0.002)

    # Who only listens: the broker's contract has a receiver

    def on_messages(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Nothing is subscribed."""

    def on_resync(self, channels: Collection[str]) -> None:
        """Nothing is subscribed."""

    async def __aenter__(self) -> ChannelPublisher:
        self._running = asyncio.create_task(self._broker.run(self))
        async with asyncio.timeout(5):
            while not self._broker.connected:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = {task for task in (self._sending, self._running) if task is not None}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
