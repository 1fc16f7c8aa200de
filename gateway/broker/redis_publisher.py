"""What publishes at one Redis node, over one connection that one task keeps up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.broker.base import Payload
from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.connection import REPLY_ON, RedisConnection
from gateway.redis_support.publishing import PublishingConnection


class RedisPublisher:
    """``Publisher`` at one node. A failed connection is made anew, with full jitter."""

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        self._address = address
        self._verb = address.publish_verb
        self._refusal = f"{address.display} refuses to publish"
        self._publishing = PublishingConnection(
            address, name=f"{name}.publish", prepare=self._ask_for_quiet
        )
        self._may_be_quiet = False

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        await self._publishing.run()

    @property
    def connected(self) -> bool:
        return self._publishing.connected

    @property
    def losses(self) -> int:
        return self._publishing.losses

    def publish(self, messages: Sequence[tuple[str, Payload]]) -> asyncio.Future[list[int]]:
        publisher = self._publishing.connection
        if publisher is None:
            nowhere: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
            nowhere.set_exception(BrokerUnavailable(f"not connected to {self._address.display}"))
            return nowhere
        verb = self._verb
        return publisher.execute(
            [(verb, *message) for message in messages],
            or_fail=self._refusal,
        )

    def publish_quietly(self, channel: str, payload: bytes) -> bool:
        publisher = self._publishing.connection
        if publisher is None or not self._may_be_quiet:
            return False
        publisher.send_unanswered((self._verb, channel, payload))
        return True

    async def _ask_for_quiet(self, connection: RedisConnection) -> None:
        """Not everybody may say it: an ACL can leave it out, and a proxy know nothing of it."""
        [reply] = await connection.execute([REPLY_ON])
        self._may_be_quiet = reply == b"OK"
