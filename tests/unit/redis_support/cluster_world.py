"""A Cluster that a test makes up: its map, and masters that acknowledge what is theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.cluster import ClusterMap
from gateway.redis_support.cluster_nodes import ClusterNodes
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.slots import SLOTS, Sight, slot_of
from gateway.redis_support.stream import Endpoint
from gateway.redis_support.url import parse
from gateway.redis_support.writing import Command

A, B, C = ("a", 1), ("b", 2), ("c", 3)
HALF = SLOTS // 2


def sight(first: Endpoint, second: Endpoint, *, epoch: int = 1, well: bool = True) -> Sight:
    """Two masters, each with half of the slots."""
    owners = (*(first,) * HALF, *(second,) * HALF)
    return Sight(owners, frozenset({A, B, C}), epoch, well)


def in_half(number: int, count: int = 1) -> list[bytes]:
    """So many channels whose slots are in this half."""
    names = (b"%d" % n for n in range(1 << 20))
    return [name for name, _ in zip(_those_in(names, number), range(count), strict=False)]


def _those_in(names: Any, number: int) -> Any:
    return (name for name in names if slot_of(name) // HALF == number)


class Nodes(ClusterNodes):
    """They say what the test wants. The seed is A."""

    def __init__(self) -> None:
        self.time = 100.0
        super().__init__([A], now=lambda: self.time)
        self.says: dict[Endpoint, Sight] = {}
        self.asked: list[Endpoint] = []

    async def _ask(self, node: Endpoint) -> Sight:
        self.asked.append(node)
        await asyncio.sleep(0)
        if node not in self.says:
            raise ConnectionRefusedError(node)
        return self.says[node]


class World(ClusterMap):
    """A map of such nodes."""

    def __init__(self) -> None:
        self.time, said = 100.0, Nodes()
        super().__init__(said, now=lambda: self.time)
        self.says, self.asked = said.says, said.asked

    def all_say(self, said: Sight) -> None:
        self.says.update(dict.fromkeys([A, B, C], said))

    async def believe(self, said: Sight) -> None:
        """All say so, and are asked."""
        self.all_say(said)
        await self.refresh()

    def address(self) -> RedisAddress:
        """Of all of it."""
        return replace(parse("redis+cluster://nowhere"), cluster=self)


class Masters:
    """In the place of ``RedisConnection``: connections that subscribe, by the master they are to.

    Attributes:
        away: Those that let nobody connect.
        said: Commands, in order, with the master that they were said to.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.away: set[Endpoint] = set()
        self.said: list[tuple[Endpoint, Command]] = []
        self.connections: dict[Endpoint, Subscriber] = {}

    async def connect(
        self, address: RedisAddress, *, on_replies: Callable[[list[Any]], None], **_: object
    ) -> Subscriber:
        assert address.locator is not None
        endpoint = address.locator.primary
        assert endpoint is not None
        await asyncio.sleep(0)
        if endpoint in self.away:
            raise BrokerUnavailable("away")
        connection = self.connections[endpoint] = Subscriber(self, endpoint, on_replies)
        return connection

    def subscribed(self, endpoint: Endpoint) -> set[bytes]:
        return self.connections[endpoint].channels


class Subscriber:
    """One of these connections."""

    def __init__(
        self, masters: Masters, endpoint: Endpoint, on_replies: Callable[[list[Any]], None]
    ) -> None:
        self.endpoint = endpoint
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.channels: set[bytes] = set()
        self._masters, self._on_replies = masters, on_replies

    def push_mode(self) -> None:
        """It pushes from the beginning."""

    def send(self, command: Command) -> None:
        self._masters.said.append((self.endpoint, command))
        asyncio.get_running_loop().call_soon(self._answer, command)

    def hears(self, *replies: Any) -> None:
        if not self.lost.done():
            self._on_replies(list(replies))

    def abort(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def raise_if_lost(self) -> None:
        if self.lost.done():
            raise BrokerUnavailable("lost")

    def _answer(self, command: Command) -> None:
        word, channel = command[0], command[-1]
        if word == "PING":
            self.hears([b"pong", channel if len(command) > 1 else b""])
            return
        assert isinstance(channel, bytes)
        slot = slot_of(channel)
        owner = self._masters.world.says[A].owners[slot]
        if owner != self.endpoint:
            assert owner is not None
            self.hears(ReplyError(f"MOVED {slot} {owner[0]}:{owner[1]}"))
        elif word == "SSUBSCRIBE":
            self.channels.add(channel)
            self.hears([b"ssubscribe", channel, len(self.channels)])
        else:
            self.channels.discard(channel)
            self.hears([b"sunsubscribe", channel, len(self.channels)])
