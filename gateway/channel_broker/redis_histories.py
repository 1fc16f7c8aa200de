"""The connection over which histories come: publications do not wait behind 20 MB of one."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from gateway.errors import BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.reconnect import log_attempt
from gateway.redis_support.writing import Command

# What lies between drops a connection that nobody uses without a word, after minutes at the
# earliest: a read would wait for its deadline. Longer than a deadline: nothing is under way on it.
IDLE_S: Final = 60.0
INFO: Final[Command] = ("INFO", "server")
_RUN_ID: Final = re.compile(rb"run_id:([0-9a-f]+)")


def run_id_in(info: Any, address: RedisAddress) -> str:
    """The run id in a reply to ``INFO``. Raises BrokerUnavailable: it tells none."""
    told = _RUN_ID.search(info) if isinstance(info, bytes) else None
    if told is None:
        address.node.garbage("no run id", "INFO server")
        raise BrokerUnavailable(f"{address.display} does not tell its run id")
    return told[1].decode()


class HistoryConnection:
    """Made when it is first wanted, and anew when it is lost, has long been idle, or is to another
    server than the one that is wanted.
    """

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        self._address = address
        self._name = name
        self._connection: RedisConnection | None = None
        self._run_id = ""
        self._used_at = 0.0
        self._drops = 0
        self._failures = 0  # in a row
        self._making = asyncio.Lock()
        address.node.when_moved(self.drop)

    def drop(self) -> None:
        """Give it up, also one that is being made."""
        self._drops += 1
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def to(self, run_id: str) -> RedisConnection:
        """The one to this server.

        Raises:
            BrokerUnavailable: There is none, or all connections were given up meanwhile.
        """
        drops = self._drops
        async with self._making:
            connection = self._standing(run_id)
            if connection is None:
                if self._connection is not None:
                    self._connection.abort()
                    self._connection = None
                connection = await self._made(run_id, drops)
                self._connection, self._run_id = connection, run_id
            self._used_at = asyncio.get_running_loop().time()
            return connection

    def _standing(self, run_id: str) -> RedisConnection | None:
        connection = self._connection
        if connection is None or connection.lost.done() or self._run_id != run_id:
            return None
        idle_s = asyncio.get_running_loop().time() - self._used_at
        return connection if idle_s < IDLE_S else None

    async def _made(self, run_id: str, drops: int) -> RedisConnection:
        try:
            connection = await self._make(run_id, drops)
        except BrokerUnavailable as error:
            self._failures += 1
            log_attempt("histories not connected", self._name, self._failures, error)
            raise
        self._failures = 0
        return connection

    async def _make(self, run_id: str, drops: int) -> RedisConnection:
        self._check(drops)
        connection = await RedisConnection.connect(
            self._address, deadline_s=REDIS_DEADLINE_S, name=self._name
        )
        try:
            [info] = await connection.execute([INFO])
            self._check(drops, run_id_in(info, self._address) == run_id)
        except BaseException:
            connection.abort()
            raise
        return connection

    def _check(self, drops: int, same: bool = True) -> None:
        if drops != self._drops or not same:
            raise BrokerUnavailable(f"{self._address.display} is another server meanwhile")
