"""The connection on which a worker renews its lease, and nothing else waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import DEADLINE_S
from gateway.redis_support.connection import RedisConnection


class Call(NamedTuple):
    """One script with what it is given."""

    text: str
    keys: Sequence[str]
    arguments: Sequence[str | bytes | int] = ()


class LeaseConnection:
    """Runs scripts, one caller at a time, over a connection of its own.

    A renewal that shared connections with listings and writes waited for theirs (10 s for one page
    of a large fleet, while its lease ran out). And it must not need many turns of the loop, since
    handlers may take long ones: one to write, one to read, one to wake its task.
    """

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        self._address = address
        self._name = name
        self._connection: RedisConnection | None = None
        self._connecting: asyncio.Task[RedisConnection] | None = None
        address.node.when_moved(self._drop)

    async def run(self, *calls: Call) -> list[Any]:
        """The replies of the scripts, which leave in one write.

        Raises:
            BrokerUnavailable: They were not run, or nobody can know; the next call connects anew.
        """
        connection = await self._connected()
        commands = [
            ("EVAL", call.text, len(call.keys), *call.keys, *call.arguments) for call in calls
        ]
        try:
            return await connection.execute(commands, or_fail=self._address.display)
        except BaseException:
            # Also when cancelled, or refused: another server may be behind the address by now.
            connection.abort()
            raise

    async def _connected(self) -> RedisConnection:
        while self._connection is None or self._connection.lost.done():
            if self._connecting is None:
                self._connecting = asyncio.create_task(
                    RedisConnection.connect(self._address, deadline_s=DEADLINE_S, name=self._name)
                )
            connecting = self._connecting
            try:
                # To its end, whoever is cancelled: uvloop may keep a socket whose connecting is
                # broken off, and then hangs when the loop is to close.
                self._connection = await asyncio.shield(connecting)
            finally:
                if connecting.done() and self._connecting is connecting:
                    self._connecting = None
        return self._connection

    async def aclose(self) -> None:
        if self._connecting is not None:
            with suppress(BrokerUnavailable):
                self._connection = await self._connecting
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
