"""What the parts of presence on Redis share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from redis.exceptions import ResponseError

from gateway.presence.base import PRESENCE_S
from gateway.protocol.channel_messages import ClientInfo, encode, read_client_info
from gateway.protocol.deadlines import LEFT_S
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.calls import Calls
from gateway.redis_support.cluster_commands import Command
from gateway.redis_support.commands import Commands, Script, is_unreached, keys_of

PER_CALL: Final = 250  # members, of one script
# A write of which nobody knows whether it was done comes no later than this, and finds a later one.
LATE_S: Final = 60
SWEPT: Final = (1 << 53) - 1  # above all revisions

WRITE: Final = Script("presence_write")
CHANNELS_OF_WORKER: Final = Script("presence_channels")
LOWER: Final = Script("presence_lower")


class PresenceCalls(Calls):
    """How Redis is asked, and the names of the keys."""

    def __init__(
        self,
        address: RedisAddress,
        *,
        prefix: str,
        name: str = "gateway",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(address.of(keys.workers(prefix)), name=f"{name}.presence")
        self._commands = Commands(
            address, self.redis, name=f"{name}.presence", scripts=(WRITE, CHANNELS_OF_WORKER, LOWER)
        )
        self._prefix = prefix
        self._now = now
        self._doubt_ends = 0.0
        self._listed: dict[WorkerId, set[str]] = {}  # of the workers that write through this store

    def _write_call(
        self,
        worker: WorkerId,
        revision: int,
        channel: str,
        clients: Iterable[tuple[str, ClientInfo | None]],
        *,
        sweeping: bool = False,
    ) -> Command:
        put: list[object] = []
        drop: list[object] = []
        for client, info in clients:
            if info is None:
                drop.append(client)
            else:
                put += (client, _stored(info))
        keep_s = int(LEFT_S) if sweeping else LATE_S if self._now() < self._doubt_ends else 0
        names = self._names(channel, worker)
        counted = [worker, revision, int(PRESENCE_S), keep_s, int(sweeping), len(put) // 2]
        return WRITE.call(names, [*counted, *put, *drop])

    async def repair(self, *args: object) -> None:
        """What has another type is removed where it is met."""

    def _names(self, channel: str, worker: WorkerId) -> list[str]:
        return [
            keys.presence(self._prefix, channel, worker),
            keys.presence_workers(self._prefix, channel),
            keys.presence_users(self._prefix, channel),
        ]

    def _infos(self, found: Mapping[bytes, bytes]) -> list[ClientInfo]:
        infos = []
        for client, value in found.items():
            try:
                info = _read(value)
            except (msgspec.DecodeError, ValueError):
                self.address.node.garbage("unreadable", "presence")
                info = ClientInfo("", client.decode(errors="replace"))
            infos.append(msgspec.structs.replace(info, client=client.decode(errors="replace")))
        return infos

    async def _execute(self, commands: Sequence[Command]) -> list[Any]:
        """What was replied to all of these. Raises what one of them failed with."""
        replies = await self._reach(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def _reach(self, commands: Sequence[Command]) -> list[Any]:
        """The same, with an exception for each of those whose master was not reached.

        Raises what Redis refused one of the others with.
        """
        replies = await self._replies(commands)
        for reply in replies:
            if isinstance(reply, Exception) and not is_unreached(reply):
                raise reply
        return replies

    async def _replies(
        self,
        commands: Sequence[Command],
        *,
        then: Sequence[Command] = (),
        patience_s: float | None = None,
    ) -> list[Any]:
        """The same, with an exception for each that failed. What has another type is removed."""
        replies = await self._commands.send(commands, then=then, patience_s=patience_s)
        for command, reply in zip([*commands, *then], replies, strict=True):
            if is_wrong_type(reply):
                await self._remove_wrong_types(command)
        return replies

    async def aclose(self) -> None:
        await super().aclose()
        await self._commands.aclose()

    async def _remove_wrong_types(self, command: Command) -> None:
        """Something else has written to our keys: all that presence has are hashes."""
        ours = [
            name
            for name in keys_of(command)
            if name not in (keys.dead(self._prefix), keys.left(self._prefix))
        ]
        types = await self._commands.send([("TYPE", name) for name in ours])
        for name, kind in zip(ours, types, strict=True):
            if kind not in (b"hash", b"none"):
                self.address.node.garbage("another type, removed", name)
                await self._commands.send([("DEL", name)])


def is_wrong_type(reply: Any) -> bool:
    return isinstance(reply, ResponseError) and "WRONGTYPE" in str(reply)


def _stored(info: ClientInfo) -> bytes:
    """With its user in front, where a script finds it."""
    user = info.user.encode()
    return b"%d:%b%b" % (len(user), user, encode(info))


def _read(value: bytes) -> ClientInfo:
    size, _, rest = value.partition(b":")
    return read_client_info(rest[int(size) :])


def chunks_of(
    clients: Iterable[tuple[str, ClientInfo | None]],
) -> Iterable[list[tuple[str, ClientInfo | None]]]:
    """At most ``PER_CALL`` at a time; where there are none, once none."""
    every = list(clients)
    for start in range(0, len(every) or 1, PER_CALL):
        yield every[start : start + PER_CALL]
