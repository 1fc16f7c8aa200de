"""A connection that publishes, kept up by one task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from gateway.errors import BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.greeting import HELLO
from gateway.redis_support.reconnect import log_attempt, log_loss, reconnect_delay_s

ROLE_INTERVAL_S: Final = 1.0


class PublishingConnection:
    """Made anew whenever it is lost, and given up once its server is a replica.

    Args:
        prepare: Asks a new connection what must be known before it is used. It may raise
            BrokerUnavailable; then another is made.

    Attributes:
        connection: None while there is none. One that was just lost is seen for another moment.
        losses: How often one was lost.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        name: str,
        prepare: Callable[[RedisConnection], Awaitable[None]] | None = None,
    ) -> None:
        self.connection: RedisConnection | None = None
        self.losses = 0
        self._address = address
        self._name = name
        self._prepare = prepare
        self._preparing: RedisConnection | None = None
        address.node.when_moved(self.drop)

    @property
    def connected(self) -> bool:
        return self.connection is not None and not self.connection.lost.done()

    def drop(self) -> None:
        """Give up the connection, so that another is made."""
        if self.connection is not None:
            self.connection.abort()
        preparing, self._preparing = self._preparing, None
        if preparing is not None:
            preparing.abort()

    async def run(self) -> None:
        """Keep it up until cancelled."""
        attempt = lost = 0
        while True:
            try:
                connection = await self._connect()
            except BrokerUnavailable as error:
                attempt += 1
                log_attempt("publisher not connected", self._name, attempt, error)
                await asyncio.sleep(reconnect_delay_s(attempt))
                continue
            attempt = 0
            self.connection = connection
            stood_since = asyncio.get_running_loop().time()
            try:
                await self._watch_role(connection)
                stood = asyncio.get_running_loop().time() - stood_since >= ROLE_INTERVAL_S
                log_loss(
                    "publisher lost its connection",
                    self._name,
                    self._address.display,
                    again=lost > 0 and not stood,
                )
            finally:
                self.connection = None
                self.losses += 1
                connection.abort()
            lost = 1 if stood else lost + 1  # in a row, each as soon as it was connected
            await asyncio.sleep(reconnect_delay_s(lost))  # all of us have lost it, perhaps

    async def _connect(self) -> RedisConnection:
        connection = await RedisConnection.connect(
            self._address, deadline_s=REDIS_DEADLINE_S, name=self._name
        )
        if self._prepare is not None:
            self._preparing = connection
            try:
                await self._prepare(connection)
            except BaseException:
                connection.abort()
                raise
            finally:
                kept, self._preparing = self._preparing, None
            if kept is None:
                raise BrokerUnavailable(f"{self._address.display} has moved meanwhile")
        return connection

    async def _watch_role(self, connection: RedisConnection) -> None:
        """Until the connection is lost. A primary that is demoted goes on with all of pub/sub."""
        while not connection.lost.done():
            await asyncio.wait({connection.lost}, timeout=ROLE_INTERVAL_S)
            with suppress(BrokerUnavailable):
                [hello] = await connection.execute([HELLO])
                self._address.node.check(hello)
