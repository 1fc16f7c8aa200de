"""Commands about keys of many slots: each at its owner, those of one master in one round trip."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import redis.asyncio
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import REDIRECTED, client, importing
from gateway.redis_support.cluster import ClusterMap
from gateway.redis_support.node import subject
from gateway.redis_support.slots import AGAIN_S
from gateway.redis_support.stream import Endpoint

Command = tuple[Any, ...]

ASKING: Final[Command] = ("ASKING",)
AWAY_S: Final = 1.0
SECOND_LOOK_S: Final = 0.01  # when the loop was held, timers run before what has come in is read


class _Way(NamedTuple):
    """Where commands go.

    Attributes:
        asking: To a master that does not own their slot yet, and has their keys already.
    """

    master: Endpoint
    asking: bool


class ClusterCommands:
    """A client of each master, made as it is needed."""

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        assert address.cluster is not None
        self._address, self._cluster = address, address.cluster
        self._name = name
        self._clients: dict[Endpoint, redis.asyncio.Redis] = {}
        self._in_use: Counter[Endpoint] = Counter()
        self._away: dict[Endpoint, float] = {}  # until when nobody waits for it
        self._outstanding: dict[asyncio.Task[list[Any]], Endpoint] = {}  # nobody waits for it
        self._slow: set[Endpoint] = set()  # have answered when nobody waited any more

    async def send(
        self,
        commands: Sequence[tuple[str, Command]],
        *,
        loads: Sequence[Command] = (),
        patience_s: float | None = None,
    ) -> list[Any]:
        """Each command at the owner of its key, and again while that moves. Their replies.

        Those of one master are carried out in order. While a slot moves, who has its keys already
        is asked for them. A reply may be an exception, of Redis or of why its master was not
        reached: that fails those of no other. A master that was waited for in vain fails what
        comes for ``AWAY_S`` at once.

        Args:
            loads: Make scripts known. Sent to a master that knows one of them no more, before what
                it has refused for that.
            patience_s: No master is waited for longer than this, nor a slot that moves. What has
                not answered may be carried out yet; until that is known, what else comes for its
                master in a hurry fails at once. A master that answers, but late, is waited for like
                anybody from then on.

        Raises:
            BrokerUnavailable: No node says where masters are.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + (REDIS_DEADLINE_S if patience_s is None else patience_s)
        sending = _Sending(commands, loads)
        while True:
            await self._know_masters()
            ways = sending.ways(self._cluster)
            asked = {
                way: self._ask(way, sending.through(way, numbers), hurry=patience_s is not None)
                for way, numbers in ways.items()
            }
            if patience_s is not None:
                await self._wait_for(asked, ends_at - loop.time())
            elif asked:
                await asyncio.wait(asked.values())
            sending.hear(ways, [_said(asking) for asking in asked.values()])
            if sending.failed:
                self._cluster.doubt()
            if not sending.left or loop.time() >= ends_at:
                self._say_what_is_left(sending, commands)
                return sending.replies
            if not sending.at_once:
                await asyncio.sleep(AGAIN_S)

    async def aclose(self) -> None:
        if self._outstanding:
            await asyncio.wait(self._outstanding, timeout=REDIS_DEADLINE_S)
        clients, self._clients = self._clients, {}
        for one in clients.values():
            await one.aclose()

    async def _know_masters(self) -> None:
        if not self._cluster.masters:
            await self._cluster.refresh()
        gone = [
            self._clients.pop(master)
            for master in [*self._clients]
            if master not in self._cluster.masters and not self._in_use[master]
        ]
        for one in gone:
            await one.aclose()

    def _say_what_is_left(self, sending: _Sending, commands: Sequence[tuple[str, Command]]) -> None:
        for number in sending.left[:1]:
            error, (_, command) = sending.replies[number], commands[number]
            self._address.node.in_vain(f"{type(error).__name__}: {error}", subject(command))

    def _ask(
        self, way: _Way, commands: Sequence[Command], *, hurry: bool
    ) -> asyncio.Task[list[Any]]:
        hurry = hurry and way.master in self._outstanding.values()
        sending = self._send(way.master, commands, or_fail=hurry)
        return asyncio.create_task(sending, name="commands of a master")

    async def _wait_for(
        self, asked: Mapping[_Way, asyncio.Task[list[Any]]], patience_s: float
    ) -> None:
        """Those that take longer go on, and nobody waits for them."""
        slow = [asking for way, asking in asked.items() if way.master in self._slow]
        hurried = {asking: way.master for way, asking in asked.items() if asking not in slow}
        if hurried:
            _, late = await asyncio.wait(hurried, timeout=max(0.0, patience_s))
            if late:
                _, late = await asyncio.wait(late, timeout=SECOND_LOOK_S)
            for asking in late:
                self._outstanding[asking] = hurried[asking]
                asking.add_done_callback(partial(self._ended_late, hurried[asking]))
        if slow:
            await asyncio.wait(slow)

    def _ended_late(self, master: Endpoint, asking: asyncio.Task[list[Any]]) -> None:
        del self._outstanding[asking]
        if not asking.cancelled() and asking.exception() is None:
            self._slow.add(master)

    async def _send(
        self, master: Endpoint, commands: Sequence[Command], *, or_fail: bool
    ) -> list[Any]:
        if master not in self._clients:
            self._clients[master] = client(self._address.at(master), name=self._name)
        now = asyncio.get_running_loop().time()
        if or_fail or now < self._away.get(master, now):
            raise BrokerUnavailable(f"{master[0]}:{master[1]} did not answer just now")
        self._in_use[master] += 1
        try:
            async with self._clients[master].pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                replies: list[Any] = await pipe.execute(raise_on_error=False)
                return replies
        except (TimeoutError, RedisTimeoutError):
            self._away[master] = asyncio.get_running_loop().time() + AWAY_S
            self._slow.discard(master)
            raise
        finally:
            self._in_use[master] -= 1


def _said(asking: asyncio.Task[list[Any]]) -> list[Any] | BaseException:
    """What was replied, or why nothing was, as far as is known."""
    if not asking.done():
        return BrokerUnavailable("its master has not answered yet")
    if asking.cancelled():
        return BrokerUnavailable("it was broken off")
    return asking.exception() or asking.result()


class _Sending:
    """Commands on their way, by their number.

    Attributes:
        replies: The last of each.
        left: What is to be sent, or sent again.
        at_once: All of that can be.
        failed: Why some were not carried out.
    """

    def __init__(self, commands: Sequence[tuple[str, Command]], loads: Sequence[Command]) -> None:
        self.replies: list[Any] = [None] * len(commands)
        self.left: list[int] = [*range(len(commands))]
        self.at_once = True
        self.failed: list[BaseException] = []
        self._commands, self._loads = commands, loads
        self._importing: dict[int, Endpoint] = {}
        self._loading: set[Endpoint] = set()  # now
        self._loaded: set[Endpoint] = set()

    def ways(self, cluster: ClusterMap) -> dict[_Way, list[int]]:
        """Where everything that is left goes now."""
        ways: dict[_Way, list[int]] = {}
        for number in self.left:
            owner = cluster.owner_of(self._commands[number][0])
            if number in self._importing:
                ways.setdefault(_Way(self._importing[number], asking=True), []).append(number)
            elif owner is not None:
                ways.setdefault(_Way(owner, asking=False), []).append(number)
            else:
                error = BrokerUnavailable("no master of the Cluster is known to have it")
                self.replies[number] = error
                self.failed.append(error)
        return ways

    def through(self, way: _Way, numbers: Sequence[int]) -> list[Command]:
        """What is sent there for these."""
        sent: list[Command] = [*self._loads] if way.master in self._loading else []
        for number in numbers:
            if way.asking:
                sent.append(ASKING)  # it is about the next command alone
            sent.append(self._commands[number][1])
        return sent

    def hear(
        self, ways: Mapping[_Way, Sequence[int]], said: Sequence[list[Any] | BaseException]
    ) -> None:
        """What was replied to all that left, or why it was not."""
        loading, self._loading = self._loading, set()
        self._loaded |= loading
        self.left, self._importing, self.at_once = [], {}, True
        for (way, numbers), replies in zip(ways.items(), said, strict=True):
            if isinstance(replies, BaseException):
                self.failed.append(replies)
                for number in numbers:
                    self.replies[number] = replies
                continue
            if way.master in loading:
                del replies[: len(self._loads)]
            for number, reply in zip(numbers, replies[way.asking :: 1 + way.asking], strict=True):
                self.replies[number] = reply
                self._hear_one(way, number, reply)

    def _hear_one(self, way: _Way, number: int, reply: Any) -> None:
        if isinstance(reply, NoScriptError) and self._loads and way.master not in self._loaded:
            self._loading.add(way.master)
            self.left.append(number)
            if way.asking:
                self._importing[number] = way.master
        elif isinstance(reply, REDIRECTED):
            self.left.append(number)
            told = None if way.asking else importing(reply, way.master)
            if told is None:
                self.at_once = False
            else:
                self._importing[number] = told
