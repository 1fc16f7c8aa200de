"""The broker on Redis pub/sub: one connection publishes, one subscribes, one task owns each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.broker.base import Payload, Reach, Receiver, Resync
from gateway.broker.redis_publisher import RedisPublisher
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import publish
from gateway.redis_support.subscriptions import Subscriptions


class RedisBroker:
    """``Broker`` on one Redis node. A failed connection is made anew, with full jitter."""

    def __init__(self, address: RedisAddress, *, name: str = "gateway") -> None:
        self._address = address
        self._publisher = RedisPublisher(address, name=name)
        self._subscriptions = Subscriptions(address, name=f"{name}.subscribe")

    async def run(self, receiver: Receiver) -> None:
        def on_resync(channels: list[str], gap_s: float) -> None:
            receiver.on_resync(Resync(tuple(channels), gap_s))

        subscribing = self._subscriptions.run(receiver.on_deliveries, on_resync)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publisher.run(), name="broker publisher")
            tasks.create_task(subscribing, name="broker subscriber")
            if self._address.sentinels is not None:
                tasks.create_task(self._address.sentinels.watch(), name="sentinels watched")

    @property
    def connected(self) -> bool:
        return self._publisher.connected

    @property
    def losses(self) -> int:
        return self._publisher.losses

    def route(self, channel: str) -> RedisPublisher:  # noqa: ARG002 (there is one node)
        return self._publisher

    def when_rerouted(self, rerouted: Callable[[], None]) -> None:
        """Never."""

    async def subscribe(self, channel: str) -> None:
        await self._subscriptions.add(channel.encode(), channel)

    def publish(self, messages: Sequence[tuple[str, Payload]]) -> asyncio.Future[list[int]]:
        return self._publisher.publish(messages)

    def publish_quietly(self, channel: str, payload: bytes) -> bool:
        return self._publisher.publish_quietly(channel, payload)

    def publish_blocking(self, channel: str, payload: bytes, *, deadline_s: float) -> None:
        publish(self._address, channel, payload, deadline_s=deadline_s)

    def reach(self) -> Reach:
        sentinels = self._address.sentinels
        if sentinels is None:
            return Reach()
        return Reach(
            unlocated=sentinels.silent,
            sentinels_away=len(sentinels.away),
            quorum_lost=sentinels.quorum_lost,
        )

    def where(self, key: str) -> str:  # noqa: ARG002 (there is one node)
        return self._address.display

    def resubscribe(self) -> None:
        self._subscriptions.drop()
