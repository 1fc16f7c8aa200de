"""Commands about keys of many slots: each at its owner, those of one master in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import redis.asyncio

from gateway.errors import BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.calls import AGAIN_S, REDIRECTED
from gateway.redis_support.client import client
from gateway.redis_support.stream import Endpoint

Command = tuple[Any, ...]


class ClusterCommands:
    """A client of each master, made as it is needed."""

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        assert address.cluster is not None
        self._address, self._cluster = address, address.cluster
        self._name = name
        self._clients: dict[Endpoint, redis.asyncio.Redis] = {}

    async def everywhere(self, commands: Sequence[Command]) -> list[Any]:
        """These commands at all masters. What one of them replied."""
        masters = await self._masters()
        replies = await asyncio.gather(*[self._send(master, commands) for master in masters])
        return replies[0]

    async def send(self, commands: Sequence[tuple[str, Command]]) -> list[Any]:
        """Each command at the owner of its key, and again while that moves. Their replies.

        Those of one master are carried out in order. A reply may be an exception.

        Raises:
            BrokerUnavailable: A master is not known.
            RedisError: One does not answer; others may have carried theirs out.
            OSError: The same.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + REDIS_DEADLINE_S
        replies: list[Any] = [None] * len(commands)
        left: Iterable[int] = range(len(commands))
        while True:
            await self._masters()
            groups: dict[Endpoint, list[int]] = {}
            for number in left:
                owner = self._cluster.owner_of(commands[number][0])
                if owner is None:
                    self._cluster.doubt()
                    raise BrokerUnavailable("no master of the Cluster is known to have it")
                groups.setdefault(owner, []).append(number)
            sent = await asyncio.gather(
                *[
                    self._send(owner, [commands[number][1] for number in numbers])
                    for owner, numbers in groups.items()
                ],
                return_exceptions=True,
            )
            again: list[int] = []
            for numbers, said in zip(groups.values(), sent, strict=True):
                if isinstance(said, BaseException):
                    self._cluster.doubt()
                    raise said
                for number, reply in zip(numbers, said, strict=True):
                    replies[number] = reply
                    if isinstance(reply, REDIRECTED):
                        again.append(number)
            if not again or loop.time() >= ends_at:
                return replies
            left = again
            await asyncio.sleep(AGAIN_S)

    async def aclose(self) -> None:
        clients, self._clients = self._clients, {}
        for one in clients.values():
            await one.aclose()

    async def _masters(self) -> frozenset[Endpoint]:
        if not self._cluster.masters:
            await self._cluster.refresh()
        for gone in [master for master in self._clients if master not in self._cluster.masters]:
            await self._clients.pop(gone).aclose()
        return self._cluster.masters

    async def _send(self, master: Endpoint, commands: Sequence[Command]) -> list[Any]:
        if master not in self._clients:
            self._clients[master] = client(self._address.at(master), name=self._name)
        async with self._clients[master].pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
            return replies
