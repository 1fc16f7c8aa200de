"""The broker on Redis pub/sub: one connection publishes, one subscribes, one task owns each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.broker.base import Receiver, Resync
from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import publish
from gateway.redis_support.connection import REPLY_ON, RedisConnection
from gateway.redis_support.publishing import PublishingConnection
from gateway.redis_support.subscriptions import Subscriptions


class RedisBroker:
    """``Broker`` on one Redis node. A failed connection is made anew, with full jitter."""

    def __init__(self, address: RedisAddress, *, name: str = "gateway") -> None:
        self._address = address
        self._refusal = f"{address.display} refuses to publish"
        self._publishing = PublishingConnection(
            address, name=f"{name}.publish", prepare=self._ask_for_quiet
        )
        self._may_be_quiet = False
        self._subscriptions = Subscriptions(address, name=f"{name}.subscribe")

    async def run(self, receiver: Receiver) -> None:
        def on_resync(channels: list[str], gap_s: float) -> None:
            receiver.on_resync(Resync(tuple(channels), gap_s))

        subscribing = self._subscriptions.run(receiver.on_deliveries, on_resync)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publishing.run(), name="broker publisher")
            tasks.create_task(subscribing, name="broker subscriber")
            if self._address.sentinels is not None:
                tasks.create_task(self._address.sentinels.watch(), name="sentinels watched")

    @property
    def connected(self) -> bool:
        return self._publishing.connected

    @property
    def losses(self) -> int:
        return self._publishing.losses

    async def subscribe(self, channel: str) -> None:
        await self._subscriptions.add(channel.encode(), channel)

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> asyncio.Future[list[int]]:
        publisher = self._publishing.connection
        if publisher is None:
            nowhere: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
            nowhere.set_exception(BrokerUnavailable(f"not connected to {self._address.display}"))
            return nowhere
        return publisher.execute(
            [("PUBLISH", *message) for message in messages],
            or_fail=self._refusal,
        )

    def publish_quietly(self, channel: str, payload: bytes) -> bool:
        publisher = self._publishing.connection
        if publisher is None or not self._may_be_quiet:
            return False
        publisher.send_unanswered(("PUBLISH", channel, payload))
        return True

    def publish_blocking(self, channel: str, payload: bytes, *, deadline_s: float) -> None:
        publish(self._address, channel, payload, deadline_s=deadline_s)

    def resubscribe(self) -> None:
        self._subscriptions.drop()

    async def _ask_for_quiet(self, connection: RedisConnection) -> None:
        """Not everybody may say it: an ACL can leave it out, and a proxy know nothing of it."""
        [reply] = await connection.execute([REPLY_ON])
        self._may_be_quiet = reply == b"OK"
