"""Subscriptions at the masters of a Cluster: each channel at the owner of its slot."""

from __future__ import annotations

import asyncio

from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.cluster import Moved
from gateway.redis_support.masters import Masters
from gateway.redis_support.sharded_subscriptions import Handed, ShardedSubscriptions
from gateway.redis_support.slots import slot_of
from gateway.redis_support.subscriptions import OnMessages, OnResync


class ClusterSubscriptions:
    """As ``Subscriptions``, with a connection to each master.

    Whoever loses its master, or is moved, is subscribed at the next owner, and is in a resync then;
    others notice nothing.
    """

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        self._address = address
        self._on_messages: OnMessages = lambda _messages: None
        self._on_resync: OnResync = lambda _names, _gap_s: None
        self._homes: dict[bytes, ShardedSubscriptions | None] = {}  # None: nobody has its slot
        self._in_slot: dict[int, dict[bytes, None]] = {}  # the same channels
        self._homeless: dict[bytes, Handed] = {}
        self._masters = Masters(
            address,
            lambda master: ShardedSubscriptions(master, name=name),
            lambda part: part.run(self._messages, self._resync),
        )
        self._masters.changed = self._settle_down

    def add(self, channel: bytes, name: str) -> asyncio.Future[None]:
        """See ``Subscriptions.add``."""
        home = self._homes.get(channel)
        if home is None:
            slot = slot_of(channel)
            home = self._homes[channel] = self._masters.of_slot(slot)
            self._in_slot.setdefault(slot, {})[channel] = None
        if home is not None:
            return home.add(channel, name)
        subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handed = self._homeless.setdefault(channel, Handed(name, None, []))
        handed.waiting.append(subscribed)
        return subscribed

    def remove(self, channel: bytes) -> None:
        """See ``Subscriptions.remove``."""
        if channel not in self._homes:
            return
        home = self._homes.pop(channel)
        slot = slot_of(channel)
        del self._in_slot[slot][channel]
        if not self._in_slot[slot]:
            del self._in_slot[slot]
        if home is not None:
            home.remove(channel)
        handed = self._homeless.pop(channel, None)
        for waiting in () if handed is None else handed.waiting:
            if not waiting.done():
                waiting.set_exception(BrokerUnavailable("unsubscribed meanwhile"))

    def settle(self, channel: bytes) -> asyncio.Future[None]:
        """See ``Subscriptions.settle``, of the connection that this channel comes by."""
        home = self._homes.get(channel)
        if home is not None:
            return home.settle()
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        settled.set_exception(BrokerUnavailable(f"no subscriptions at {self._address.display}"))
        return settled

    def settle_all(self) -> asyncio.Future[None]:
        """See ``Subscriptions.settle``, of all connections that have channels."""
        homes = {home for home in self._homes.values() if home is not None}
        return asyncio.ensure_future(_all([home.settle() for home in homes]))

    def drop(self) -> None:
        """Make all connections anew that have channels."""
        for home in {home for home in self._homes.values() if home is not None}:
            home.drop()

    async def run(self, on_messages: OnMessages, on_resync: OnResync) -> None:
        """See ``Subscriptions.run``."""
        self._on_messages, self._on_resync = on_messages, on_resync
        await self._masters.run()

    def _messages(self, messages: list[tuple[str, bytes]]) -> None:
        self._on_messages(messages)

    def _resync(self, names: list[str], gap_s: float) -> None:
        self._on_resync(names, gap_s)

    def _settle_down(self, moved: Moved) -> None:
        """Slots have moved, and with them their channels: nobody else is looked at."""
        for slot in moved:
            if slot in self._in_slot:
                owner = self._masters.of_slot(slot)
                for channel in self._in_slot[slot]:
                    self._settle_one(channel, owner)

    def _settle_one(self, channel: bytes, owner: ShardedSubscriptions | None) -> None:
        home = self._homes[channel]
        if owner is home:
            return
        handed = self._homeless.pop(channel, None) if home is None else home.hand_over(channel)
        self._homes[channel] = owner
        if handed is None:
            return
        if owner is None:
            self._homeless[channel] = handed
        else:
            owner.take(channel, handed)


async def _all(settling: list[asyncio.Future[None]]) -> None:
    await asyncio.gather(*settling)
