"""Commands about our keys, and where each goes: to the one node, or to the owner of its key.

Each may be done twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import NoScriptError, ResponseError

from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import REDIRECTED, script
from gateway.redis_support.cluster_commands import ClusterCommands, Command


class Script:
    """``scripts/<name>.lua``, called by its hash."""

    def __init__(self, name: str) -> None:
        self.text = script(name)
        self.sha = hashlib.sha1(self.text.encode()).hexdigest()  # noqa: S324 (Redis' own name)

    def call(self, names: Sequence[str], arguments: Iterable[object]) -> Command:
        return ("EVALSHA", self.sha, len(names), *names, *arguments)


def keys_of(command: Command) -> Sequence[str]:
    """What it is about; a command without a script has one key."""
    if command[0] == "EVALSHA":
        return command[3 : 3 + command[2]]
    return command[1:2]


def is_unreached(reply: Any) -> bool:
    """Whether this says that nobody carried the command out, or that nobody knows."""
    if isinstance(reply, ResponseError):
        return isinstance(reply, REDIRECTED)
    return isinstance(reply, Exception)


class Commands:
    """Sends them.

    Args:
        node: A client of the one node; not used where the address is of a Cluster.
        scripts: Those that are called.
    """

    def __init__(
        self,
        address: RedisAddress,
        node: redis.asyncio.Redis,
        *,
        name: str,
        scripts: Iterable[Script],
    ) -> None:
        self._node = node
        self._loads: list[Command] = [("SCRIPT LOAD", one.text) for one in scripts]
        self._spread = None if address.cluster is None else ClusterCommands(address, name=name)

    async def send(
        self,
        commands: Sequence[Command],
        *,
        then: Sequence[Command] = (),
        patience_s: float | None = None,
    ) -> list[Any]:
        """The replies to these, and to those of ``then`` behind them. A reply may be an exception.

        One node carries all out in order, in a round trip. At a Cluster each master does so with
        its own; those of ``then`` are sent once all before are done, or were not reached.

        Args:
            patience_s: So long a master of a Cluster is waited for, ``then`` apart
                (``ClusterCommands.send``).

        Raises:
            RedisError: The one node does not answer.
            OSError: The same.
            BrokerUnavailable: No node of the Cluster says where masters are.
        """
        if self._spread is None:
            return await self._send_to_node([*commands, *then])
        replies = await self._send_to_owners(self._spread, commands, patience_s)
        return [*replies, *await self._send_to_owners(self._spread, then)]

    async def aclose(self) -> None:
        """Of the one node, nothing: its client is another's."""
        if self._spread is not None:
            await self._spread.aclose()

    async def _send_to_owners(
        self,
        spread: ClusterCommands,
        commands: Sequence[Command],
        patience_s: float | None = None,
    ) -> list[Any]:
        if not commands:
            return []
        keyed = [(keys_of(command)[0], command) for command in commands]
        return await spread.send(keyed, loads=self._loads, patience_s=patience_s)

    async def _send_to_node(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._pipeline(commands)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            await self._pipeline(self._loads)
            replies = await self._pipeline(commands)
        return replies

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        async with self._node.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
            return replies
