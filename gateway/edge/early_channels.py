"""The channels that ``on_connect`` has named, while their handshake waits for them.

They are subscribed before the 101, so that nothing is missed that is published after it. A client
that was let in without its room would be worse off than one that comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from gateway.edge.admission import HANDLER_FAILED, NO_CHANNELS
from gateway.edge.refusal import Refusal
from gateway.edge.sessions.base import EarlySubscriptions, OpenConnection
from gateway.errors import BrokerUnavailable, GatewayError, SlowConsumer, WorkerChannelLimit
from gateway.log import get_logger
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt
from gateway.protocol.run import Run

log = get_logger(__name__)


class EarlyChannels:
    """A ``Recipient`` that keeps what it is sent until there is a connection.

    Whatever comes of it, its subscriptions are the connection's, and end like those.

    Args:
        held_bytes: More than that is not kept: the connection ends when it begins (3008).
    """

    __slots__ = ("_bytes", "_held", "_held_bytes", "_missing", "_subscribed", "id", "user")

    def __init__(self, connection: ConnectionId, user: str | None, *, held_bytes: int) -> None:
        self.id = connection
        self.user = user
        self._held_bytes = held_bytes
        self._held: list[Run] = []
        self._bytes = 0
        self._missing = 0
        self._subscribed: asyncio.Future[Refusal | None] | None = None

    async def subscribe(
        self, subscriptions: EarlySubscriptions, channels: Collection[str]
    ) -> Refusal | None:
        """Subscribe to all of them, at least one. None: it is in every one.

        Takes no longer than ``REDIS_DEADLINE_S``, after which a subscription fails. Whoever gets
        a refusal, or cancels this, closes the connection in ``Channels``.
        """
        self._missing = len(channels)
        self._subscribed = asyncio.get_running_loop().create_future()
        for channel in channels:
            if self._subscribed.done():  # with a refusal
                break
            subscriptions.subscribe(self, channel, self._done)
        return await self._subscribed

    def end(self, refusal: Refusal) -> None:
        """Wait no longer."""
        if self._subscribed is not None and not self._subscribed.done():
            self._subscribed.set_result(refusal)

    def _done(self, result: Receipt | GatewayError) -> None:
        waiting = self._subscribed
        if waiting is None or waiting.done():
            return
        if isinstance(result, BrokerUnavailable | WorkerChannelLimit):
            waiting.set_result(NO_CHANNELS)
        elif isinstance(result, GatewayError):
            log.error("channel of on_connect refused", connection_id=self.id, why=str(result))
            waiting.set_result(HANDLER_FAILED)
        else:
            self._missing -= 1
            if not self._missing:
                waiting.set_result(None)

    def send_run(self, run: Run) -> None:
        self._bytes += run.size_bytes
        if self._bytes <= self._held_bytes:
            self._held.append(run)

    def hand_over(self, subscriptions: EarlySubscriptions, connection: OpenConnection) -> None:
        """The connection is open: what was kept goes first."""
        if self._bytes > self._held_bytes:
            connection.end_with(SlowConsumer())
            return
        for run in self._held:
            connection.send_run(Run(run.messages))  # its group may be of the past
        self._held.clear()
        subscriptions.hand_over(connection)
