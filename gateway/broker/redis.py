"""The broker on Redis pub/sub: one connection publishes, one subscribes, one task owns each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gateway.broker.base import Receiver, Resync
from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import publish
from gateway.redis_support.connection import HELLO, RedisConnection, ReplyError

log = get_logger(__name__)

PING_INTERVAL_S = 2.0
ROLE_INTERVAL_S = 1.0
LONGEST_RECONNECT_DELAY_S = 0.25


class RedisBroker:
    """``Broker`` on one Redis node. A failed connection is made anew, with full jitter."""

    def __init__(self, address: RedisAddress, *, name: str = "gateway") -> None:
        self._address = address
        self._name = name
        self._refusal = f"{address.display} refuses to publish"
        self._publisher: RedisConnection | None = None
        self._subscriber: RedisConnection | None = None
        self._channels: dict[bytes, str] = {}
        self._acknowledged: set[bytes] = set()
        self._changed = asyncio.Event()  # set at every acknowledgement
        self._heard_at = 0.0
        self._deaf_since: float | None = None  # since when deliveries may have been lost
        self._receiver: Receiver | None = None
        address.node.when_moved(self._move)

    async def run(self, receiver: Receiver) -> None:
        self._receiver = receiver
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_publishing(), name="broker publisher")
                tasks.create_task(self._keep_subscribed(), name="broker subscriber")
        finally:
            self._receiver = None

    @property
    def connected(self) -> bool:
        return self._publisher is not None and not self._publisher.lost.done()

    async def subscribe(self, channel: str) -> None:
        key = channel.encode()
        if key not in self._channels:
            self._channels[key] = channel
            if self._subscriber is not None:
                self._subscriber.send(("SUBSCRIBE", key))
        while key not in self._acknowledged:
            self._changed.clear()
            await self._changed.wait()

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> asyncio.Future[list[int]]:
        publisher = self._publisher
        if publisher is None:
            nowhere: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
            nowhere.set_exception(BrokerUnavailable(f"not connected to {self._address.display}"))
            return nowhere
        return publisher.execute(
            [("PUBLISH", *message) for message in messages],
            or_fail=self._refusal,
        )

    def publish_blocking(self, channel: str, payload: bytes, *, deadline_s: float) -> None:
        publish(self._address, channel, payload, deadline_s=deadline_s)

    def resubscribe(self) -> None:
        if self._subscriber is not None:
            self._subscriber.abort()

    async def _keep_publishing(self) -> None:
        attempt = 0
        while True:
            try:
                connection = await RedisConnection.connect(
                    self._address, deadline_s=REDIS_DEADLINE_S, name=f"{self._name}.publish"
                )
            except BrokerUnavailable as error:
                attempt += 1
                _log_attempt("publisher not connected", attempt, error)
                await asyncio.sleep(_reconnect_delay_s(attempt))
                continue
            attempt = 0
            self._publisher = connection
            try:
                await self._watch_role(connection)
                log.warning("publisher lost its connection")
            finally:
                self._publisher = None
                connection.abort()
            await asyncio.sleep(_reconnect_delay_s(1))  # all of us have lost it, perhaps

    async def _watch_role(self, connection: RedisConnection) -> None:
        """Until the connection is lost. A primary that is demoted goes on with all of pub/sub."""
        while not connection.lost.done():
            await asyncio.wait({connection.lost}, timeout=ROLE_INTERVAL_S)
            with suppress(BrokerUnavailable):
                [hello] = await connection.execute([HELLO])
                self._address.node.check(hello)

    def _move(self) -> None:
        for connection in (self._publisher, self._subscriber):
            if connection is not None:
                connection.abort()

    async def _keep_subscribed(self) -> None:
        attempt = 0
        while True:
            try:
                connection = await self._subscribe_anew()
            except BrokerUnavailable as error:
                attempt += 1
                _log_attempt("subscriber not connected", attempt, error)
                await asyncio.sleep(_reconnect_delay_s(attempt))
                continue
            attempt = 0
            self._resync()
            try:
                await self._listen(connection)
                log.warning("subscriber lost its connection")
            finally:
                self._unsubscribed(connection)

    async def _subscribe_anew(self) -> RedisConnection:
        connection = await RedisConnection.connect(
            self._address,
            deadline_s=REDIS_DEADLINE_S,
            name=f"{self._name}.subscribe",
            on_replies=self._on_replies,
        )
        connection.push_mode()
        self._subscriber = connection
        if self._channels:
            connection.send(("SUBSCRIBE", *self._channels))
        try:
            async with asyncio.timeout(REDIS_DEADLINE_S):
                while not self._acknowledged.issuperset(self._channels):
                    self._changed.clear()
                    await _either(self._changed.wait(), connection.lost)
                    connection.raise_if_lost()
        except BaseException as error:
            self._unsubscribed(connection)
            if isinstance(error, TimeoutError):
                raise BrokerUnavailable("subscriptions were not acknowledged in time") from None
            raise
        return connection

    async def _listen(self, connection: RedisConnection) -> None:
        """Until the connection is lost. A frozen server raises nothing: pongs have a deadline."""
        loop = asyncio.get_running_loop()
        while not connection.lost.done():
            connection.send(("PING",))
            asked_at = loop.time()
            await asyncio.wait({connection.lost}, timeout=PING_INTERVAL_S)
            if self._heard_at < asked_at and not connection.lost.done():
                await asyncio.wait({connection.lost}, timeout=REDIS_DEADLINE_S - PING_INTERVAL_S)
                if self._heard_at < asked_at:
                    log.warning("subscriber hears nothing", deadline_s=REDIS_DEADLINE_S)
                    return

    def _on_replies(self, replies: list[Any]) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        deliveries: list[tuple[str, bytes]] = []
        for reply in replies:
            match reply:
                case [b"message", bytes() as channel, bytes() as payload]:
                    name = self._channels.get(channel)
                    if name is not None:
                        deliveries.append((name, payload))
                case [b"subscribe", bytes() as channel, _]:
                    self._acknowledged.add(channel)
                    self._changed.set()
                case [b"pong", *_] | b"PONG":
                    pass
                case ReplyError():
                    self._refused(reply)
                case _:
                    self._address.node.garbage(f"a {type(reply).__name__}", "SUBSCRIBE")
        if deliveries and self._receiver is not None:
            try:
                self._receiver.on_deliveries(deliveries)
            except Exception:
                log.exception("receiver failed", deliveries=len(deliveries))

    def _refused(self, error: ReplyError) -> None:
        channels = sorted(self._channels.values())
        self._address.node.refused(str(error), " ".join(["SUBSCRIBE", *channels]))
        if self._subscriber is not None and not self._acknowledged.issuperset(self._channels):
            self._subscriber.abort()  # what it refuses, it will not acknowledge

    def _unsubscribed(self, connection: RedisConnection) -> None:
        self._subscriber = None
        if self._acknowledged and self._deaf_since is None:
            self._deaf_since = self._heard_at
        self._acknowledged.clear()
        connection.abort()

    def _resync(self) -> None:
        if self._deaf_since is None:
            return
        gap_s = asyncio.get_running_loop().time() - self._deaf_since
        self._deaf_since = None
        log.warning("subscriptions resynced", gap_s=round(gap_s, 3), channels=len(self._channels))
        if self._receiver is not None:
            try:
                self._receiver.on_resync(Resync(tuple(self._channels.values()), gap_s))
            except Exception:
                log.exception("receiver failed at a resync")


async def _either(coroutine: Any, future: asyncio.Future[None]) -> None:
    """Wait for whichever comes first, and cancel only the coroutine."""
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait({task, future}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()


def _reconnect_delay_s(attempt: int) -> float:
    # Full jitter: after an outage all workers get here at once, and a fixed delay would only move
    # the stampede. At most a quarter of a second, because sockets wait for us.
    return random.uniform(0.0, min(LONGEST_RECONNECT_DELAY_S, 0.05 * 2.0 ** min(attempt, 10)))  # noqa: S311


def _log_attempt(event: str, attempt: int, error: Exception) -> None:
    level = "warning" if attempt == 1 else "debug"  # once an outage, not once an attempt
    getattr(log, level)(event, attempt=attempt, error=str(error))
