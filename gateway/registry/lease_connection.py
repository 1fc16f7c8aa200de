"""The connection on which a worker renews its lease, and nothing else waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from gateway.errors import BrokerRefused
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.node import subject
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.slots import AGAIN_S, is_redirect, read_redirect
from gateway.redis_support.stream import Endpoint
from gateway.redis_support.writing import Command

_ASKING: Final[Command] = ("ASKING",)


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

    While the slot of a Cluster moves there is a second one, to the master that has its keys first.
    """

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        self._address = address
        self._name = name
        self._owner = _Line(address, name=name)
        self._importing: dict[Endpoint, _Line] = {}

    async def run(self, *calls: Call) -> list[Any]:
        """The replies of the scripts, which leave in one write.

        Those of a slot that moves are run at the master that has its keys; and as long as some keys
        are here and some there, again, all of them, for ``REDIS_DEADLINE_S``.

        Raises:
            BrokerUnavailable: They were not run, or nobody can know; the next call connects anew.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + REDIS_DEADLINE_S
        commands: list[Command] = [
            ("EVAL", call.text, len(call.keys), *call.keys, *call.arguments) for call in calls
        ]
        importing: Endpoint | None = None
        while True:
            line = self._owner if importing is None else self._line_to(importing)
            said = await line.execute(commands, asking=importing is not None)
            if said.refused is None:
                if importing is None:
                    for other in self._importing.values():
                        other.drop()
                return said.replies
            if not is_redirect(said.refused) or loop.time() >= ends_at:
                line.drop()  # another server may be behind the address by now
                raise BrokerRefused(f"{self._address.display}: {said.refused}")
            told = None
            if importing is None and said.refused.startswith("ASK ") and said.at is not None:
                told = read_redirect(said.refused, said.at)
            importing = None if told is None else told[1]
            if told is None:
                if not said.refused.startswith(("TRYAGAIN", "CLUSTERDOWN")):
                    line.drop()  # so that it is made to wherever the slot is
                await asyncio.sleep(AGAIN_S)

    async def aclose(self) -> None:
        for line in (self._owner, *self._importing.values()):
            await line.aclose()

    def _line_to(self, importing: Endpoint) -> _Line:
        if importing not in self._importing:
            self._importing[importing] = _Line(self._address.at(importing), name=self._name)
        return self._importing[importing]


class _Said(NamedTuple):
    """What was replied to commands.

    Attributes:
        refused: What Redis says of the first that it refused.
        at: Who was asked.
    """

    replies: list[Any]
    refused: str | None
    at: Endpoint | None


class _Line:
    """A connection that is made as it is needed, and given up once nobody can trust it."""

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        self.connection: RedisConnection | None = None
        self._address = address
        self._name = name
        self._connecting: asyncio.Task[RedisConnection] | None = None
        address.node.when_moved(self.drop)

    async def execute(self, commands: Sequence[Command], *, asking: bool) -> _Said:
        """Raises BrokerUnavailable; the node is told what was refused.

        Args:
            asking: Of a master that does not own their slot yet, and has their keys already.
        """
        connection = await self._connected()
        if asking:  # it is about the next command alone
            words = [word for command in commands for word in (_ASKING, command)]
        else:
            words = [*commands]
        try:
            replies = (await connection.execute(words))[asking :: 1 + asking]
        except BaseException:
            connection.abort()  # also when cancelled
            raise
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ReplyError):
                self._address.node.refused(str(reply), subject(command), connection.endpoint)
                return _Said(replies, str(reply), connection.endpoint)
        return _Said(replies, None, connection.endpoint)

    async def _connected(self) -> RedisConnection:
        while self.connection is None or self.connection.lost.done():
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
        return self.connection

    def _have(self, connecting: asyncio.Task[RedisConnection]) -> None:
        """Take what has come of it, once.

        Also a callback: whoever waited for it may be cancelled in the turn in which it stands.
        """
        if self._connecting is not connecting or not connecting.done():
            return
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self.connection = connecting.result()

    async def aclose(self) -> None:
        while (connecting := self._connecting) is not None:
            await asyncio.wait({connecting})
            self._have(connecting)
        self.drop()

    def drop(self) -> None:
        if self._connecting is not None:
            self._have(self._connecting)  # it may stand since this turn of the loop
        if self.connection is not None:
            self.connection.abort()
