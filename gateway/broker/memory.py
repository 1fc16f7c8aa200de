"""A broker within one process: for `uvicorn gateway.asgi:app`, and for tests."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from gateway.broker.base import Payload, Reach, Receiver, Resync
from gateway.log import get_logger

log = get_logger(__name__)


class MemoryBus:
    """What the brokers of several workers in one event loop share."""

    def __init__(self) -> None:
        self.subscribers: dict[str, list[MemoryBroker]] = defaultdict(list)


class MemoryBroker:
    """``Broker`` on a ``MemoryBus``. Deliveries come in a later turn of the loop."""

    def __init__(self, bus: MemoryBus | None = None) -> None:
        self._bus = bus or MemoryBus()
        self._channels: list[str] = []
        self._receiver: Receiver | None = None
        self._arrived: list[tuple[str, bytes]] = []
        self._running = asyncio.Event()

    async def run(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._running.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._receiver = None
            for channel in self._channels:
                self._bus.subscribers[channel].remove(self)

    @property
    def connected(self) -> bool:
        return True

    @property
    def losses(self) -> int:
        return 0

    def route(self, channel: str) -> MemoryBroker:  # noqa: ARG002 (all is in one process)
        return self

    def when_rerouted(self, rerouted: Callable[[], None]) -> None:
        """Never."""

    async def subscribe(self, channel: str) -> None:
        if channel not in self._channels:
            self._channels.append(channel)
            self._bus.subscribers[channel].append(self)
        await self._running.wait()

    def publish(self, messages: Sequence[tuple[str, Payload]]) -> asyncio.Future[list[int]]:
        receivers = []
        for channel, message in messages:
            payload = message if isinstance(message, bytes) else b"".join(message)
            subscribers = self._bus.subscribers.get(channel, ())
            for subscriber in subscribers:
                subscriber._arrive(channel, payload)  # noqa: SLF001 (a broker of the same bus)
            receivers.append(len(subscribers))
        loop = asyncio.get_running_loop()
        published: asyncio.Future[list[int]] = loop.create_future()
        loop.call_soon(_settle, published, receivers)
        return published

    def publish_quietly(self, channel: str, payload: bytes) -> bool:  # noqa: ARG002
        """Being told costs nothing here."""
        return False

    def publish_blocking(self, channel: str, payload: bytes, *, deadline_s: float) -> None:
        """Nothing: whoever would hear of it is held by the same loop."""

    def reach(self) -> Reach:
        return Reach()

    def where(self, key: str) -> str:  # noqa: ARG002 (there is one place)
        return "memory"

    def resubscribe(self) -> None:
        if self._receiver is not None:
            self._receiver.on_resync(Resync(tuple(self._channels), 0.0))

    def _arrive(self, channel: str, payload: bytes) -> None:
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._arrived.append((channel, payload))

    def _deliver(self) -> None:
        arrived, self._arrived = self._arrived, []
        if self._receiver is None:
            return
        try:
            self._receiver.on_deliveries(arrived)
        except Exception:
            log.exception("receiver failed", deliveries=len(arrived))


def _settle(published: asyncio.Future[list[int]], receivers: list[int]) -> None:
    if not published.done():
        published.set_result(receivers)
