"""Channels in a process that is no worker: it publishes and reads, and subscribes to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.backend_client.parts import CLOSED, begin
from gateway.channel_broker.redis_cluster import channel_broker_at
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.channels.shared_namespaces import SharedNamespaces
from gateway.errors import BrokerUnavailable, NotRunning
from gateway.metrics import Counters
from gateway.presence.redis import RedisPresenceStore
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress

LOOK_S: Final = 0.01


class ClientChannels:
    """What publishes, and what knows who is there. Who uses neither opens no connection.

    Make it inside the event loop.

    Args:
        publisher: Makes a ``Publisher``.
        presence: Makes ``PresenceQuestions``.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        prefix: str,
        name: str,
        publisher: Callable[..., Publisher] = Publisher,
        presence: Callable[..., PresenceQuestions] = PresenceQuestions,
    ) -> None:
        self._address = address
        self._broker = channel_broker_at(address, prefix=prefix, name=name)
        self._store = RedisPresenceStore(address, prefix=prefix, name=name)
        self._namespaces = SharedNamespaces(self._broker)
        options_of = self._namespaces.options_of
        self._publisher = publisher(self._broker, options_of, Counters())
        self._presence = presence(self._store, options_of)
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def publisher(self) -> Publisher:
        """What publishes as the workers do.

        Raises:
            BrokerUnavailable: Redis does not answer, or no worker has told its namespaces.
            ConfigError: The workers are of a newer release, with options that this has not.
            NotRunning: After the end.
        """
        await self._ready()
        return self._publisher

    async def presence(self) -> PresenceQuestions:
        """What is asked about members. Raises as ``publisher``."""
        await self._ready()
        return self._presence

    def check_open(self) -> None:
        """Raises NotRunning: After the end."""
        if self._closed:
            raise NotRunning(CLOSED)

    async def aclose(self) -> None:
        self._closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._store.aclose()

    async def _ready(self) -> None:
        self.check_open()
        if self._running is None or self._running.done():
            self._running = begin(self._broker.run_publishing(), "client channels")
        try:
            async with asyncio.timeout(REDIS_DEADLINE_S):
                while not self._broker.connected:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise BrokerUnavailable(f"not connected to {self._address.display}") from None
        await self._namespaces.refresh()
