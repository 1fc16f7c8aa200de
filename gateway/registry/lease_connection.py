"""The connection on which a worker renews its lease, and nothing else waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
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
                connect = RedisConnection.connect(
                    self._address, deadline_s=REDIS_DEADLINE_S, name=self._name
                )
                self._connecting = asyncio.create_task(connect)
                self._connecting.add_done_callback(self._have)
            connecting = self._connecting
            # To its end, whoever is cancelled: uvloop may keep a socket whose connecting is
            # broken off, and then hangs when the loop is to close.
            try:
                await asyncio.shield(connecting)
            finally:
                self._have(connecting)
        return self._connection

    def _have(self, connecting: asyncio.Task[RedisConnection]) -> None:
        """Take what has come of it, once.

        Also a callback: whoever waited for it may be cancelled in the turn in which it stands.
        """
        if self._connecting is not connecting or not connecting.done():
            return
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._connection = connecting.result()

    async def aclose(self) -> None:
        while (connecting := self._connecting) is not None:
            await asyncio.wait({connecting})
            self._have(connecting)
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
