"""Presence on Redis.

Of each channel there is a hash of members for every worker, and beside them two of numbers, that
one script keeps: the workers' and the users'. Of each worker there is a hash of its channels.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from redis.exceptions import ResponseError

from gateway.errors import BrokerRefused, BrokerUnavailable
from gateway.presence.base import (
    PAGE,
    PRESENCE_S,
    MembersLeft,
    Page,
    PresenceChange,
    PresenceStats,
)
from gateway.protocol.channel_messages import ClientInfo, encode, read_client_info
from gateway.protocol.deadlines import LEFT_S
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.calls import Calls, to_its_end
from gateway.redis_support.cluster_commands import Command
from gateway.redis_support.commands import Commands, Script, is_unreached, keys_of

PER_CALL: Final = 250  # members, of one script
MAX_DIGITS: Final = 20
CHANNELS: Final = 50  # that are read together
# A write of which nobody knows whether it was done comes no later than this, and finds a later one.
LATE_S: Final = 60
PATIENCE_S: Final = 0.5  # with one master of a Cluster, while members wait that live at others
_SWEPT: Final = (1 << 53) - 1  # above all revisions
_GONE: Final = 2  # what the script ``presence_channels`` returns
_LATE: Final = -1  # what the script ``presence_write`` returns

_WRITE: Final = Script("presence_write")
_CHANNELS: Final = Script("presence_channels")
_LOWER: Final = Script("presence_lower")


class RedisPresenceStore(Calls):
    """``PresenceStore`` on one Redis node, or a Cluster: there a channel's is at its master."""

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
            address, self.redis, name=f"{name}.presence", scripts=(_WRITE, _CHANNELS, _LOWER)
        )
        self._prefix = prefix
        self._now = now
        self._listed: dict[WorkerId, set[str]] = {}  # of the workers that write through this store
        self._doubt_ends = 0.0

    # What a worker writes

    @to_its_end
    async def write(
        self,
        worker: WorkerId,
        revision: int,
        changes: Sequence[PresenceChange],
        *,
        upon: range | None,
    ) -> bool:
        newest: dict[str, dict[str, ClientInfo | None]] = {}
        for channel, client, info in changes:
            newest.setdefault(channel, {})[client] = info
        listed = self._listed.setdefault(worker, set())
        settled = False
        left: dict[str, Exception] = {}
        try:
            if new := [channel for channel in newest if channel not in listed]:
                await self._change_channels(worker, self._channels_call(worker, listing=new))
                listed.update(new)
            members, settled = await self._write_members(worker, revision, newest, upon)
            left = {name: one for name, one in members.items() if isinstance(one, Exception)}
            if settled and (empty := [name for name, count in members.items() if count == 0]):
                listed.difference_update(empty)
                # Only upon this revision: a later write may have listed them again.
                strike = self._channels_call(
                    worker, upon=(revision, revision), revision=revision, striking=empty
                )
                settled = False
                await self._change_channels(worker, strike)
                settled = True
        finally:
            if not settled:
                listed.clear()  # Redis may have forgotten them
            if not settled or left:
                self._doubt_ends = self._now() + LATE_S
        if left and settled:
            error = next(iter(left.values()))
            raise MembersLeft(str(error) or repr(error), frozenset(left)) from error
        return settled

    async def _write_members(
        self,
        worker: WorkerId,
        revision: int,
        newest: Mapping[str, Mapping[str, ClientInfo | None]],
        upon: range | None,
    ) -> tuple[dict[str, int | Exception], bool]:
        """How many members each channel has then, or why nobody knows; and whether the revision
        was set.
        """
        calls, channels = [], []
        for channel, clients in newest.items():
            for chunk in _chunks(clients.items()):
                calls.append(self._write_call(worker, revision, channel, chunk))
                channels.append(channel)
        believed = ("", "") if upon is None else (upon.start, upon.stop - 1)
        # Last: it says of the rest that it is done, or that its worker knows what is not.
        finished = self._channels_call(worker, upon=believed, revision=revision)
        *found, done = await self._carry_out(calls, then=[finished])
        if isinstance(done, Exception):
            raise done
        if done != _GONE:
            await self._lower(worker, revision, calls, found)
        if _LATE in found or done == _GONE:
            raise BrokerRefused(f"not written: {worker} is fenced or has left")
        members: dict[str, int | Exception] = {}
        for channel, reply in zip(channels, found, strict=True):
            if not isinstance(members.get(channel), Exception):  # of an earlier chunk
                members[channel] = reply
        return members, bool(done)

    async def _carry_out(
        self, calls: Sequence[Command], *, then: Sequence[Command] = ()
    ) -> list[Any]:
        """What is of many channels: one that fails takes no other. A reply may be an exception."""
        replies = await self._replies(calls, then=then, patience_s=PATIENCE_S)
        wrong = [number for number in range(len(calls)) if _is_wrong_type(replies[number])]
        if wrong:  # was removed
            again = await self._replies([calls[n] for n in wrong], patience_s=PATIENCE_S)
            for number, reply in zip(wrong, again, strict=True):
                replies[number] = reply
        return replies

    async def _lower(
        self, worker: WorkerId, revision: int, calls: Sequence[Command], found: list[Any]
    ) -> None:
        """Mend channels in which a higher revision is than the worker has ever tried, and call
        them again.

        Its sweep sets one too, and is left alone, also where it comes meanwhile.

        Args:
            found: What was replied to the calls; those that are called again are replaced.
        """
        late = [number for number, reply in enumerate(found) if reply == _LATE]
        if not late:
            return
        names = list(dict.fromkeys(keys_of(calls[number])[1] for number in late))
        said = await self._carry_out([("HGET", name, worker) for name in names])
        known = [
            (name, one) for name, one in zip(names, said, strict=True)
            if not isinstance(one, Exception)
        ]  # fmt: skip
        lowered = await self._carry_out([
            _LOWER.call([name], [worker, one or b"", revision, _SWEPT, int(LEFT_S)])
            for name, one in known
        ])  # fmt: skip
        for (name, _), done in zip(known, lowered, strict=True):
            if done and not isinstance(done, Exception):
                self.address.node.garbage("a revision above all of its worker, lowered", name)
        again = await self._carry_out([calls[number] for number in late])
        for number, reply in zip(late, again, strict=True):
            found[number] = reply

    async def _change_channels(self, worker: WorkerId, call: Command) -> None:
        if (await self._execute([call])) == [_GONE]:
            raise BrokerRefused(f"not written: {worker} is fenced or has left")

    def _channels_call(
        self,
        worker: WorkerId,
        *,
        upon: tuple[int | str, int | str] = ("", ""),
        revision: int | str = "",
        listing: Sequence[str] = (),
        striking: Sequence[str] = (),
    ) -> Command:
        names = [
            keys.subscribed(self._prefix, worker), keys.dead(self._prefix), keys.left(self._prefix),
        ]  # fmt: skip
        counted = [worker, int(PRESENCE_S), *upon, revision, len(listing)]
        return _CHANNELS.call(names, [*counted, *listing, *striking])

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
        return _WRITE.call(names, [*counted, *put, *drop])

    @to_its_end
    async def revision(self, worker: WorkerId) -> int | None:
        key = keys.subscribed(self._prefix, worker)
        found, _ = await self._execute([("HGET", key, ""), ("EXPIRE", key, int(PRESENCE_S))])
        if found is None:
            return None
        return int(found) if found.isdigit() and len(found) <= MAX_DIGITS else -1

    @to_its_end
    async def look(
        self, worker: WorkerId, revision: int, channels: Sequence[str]
    ) -> Sequence[int | Exception | None]:
        calls = [self._write_call(worker, revision, channel, ()) for channel in channels]
        return [None if count == _LATE else count for count in await self._carry_out(calls)]

    # What is asked

    @to_its_end
    async def members(self, channel: str) -> Mapping[str, ClientInfo]:
        found: dict[str, ClientInfo] = {}
        counts = await self._counts(channel)
        for worker in [worker for worker, count in counts.items() if count]:
            key, cursor = keys.presence(self._prefix, channel, worker), None
            while cursor != 0:
                ((at, some),) = await self._execute([("HSCAN", key, cursor or 0, "COUNT", PAGE)])
                cursor = int(at)
                found.update((info.client, info) for info in self._infos(some))
        return found

    @to_its_end
    async def stats(self, channel: str) -> PresenceStats:
        users = ("HLEN", keys.presence_users(self._prefix, channel))
        return PresenceStats(
            sum((await self._counts(channel)).values()), *await self._execute([users])
        )

    async def _counts(self, channel: str) -> dict[WorkerId, int]:
        (found,) = await self._execute([("HGETALL", keys.presence_workers(self._prefix, channel))])
        counts = {}
        for worker, said in found.items():
            count = said.partition(b" ")[0]
            if count.isdigit() and len(count) <= MAX_DIGITS:
                counts[WorkerId(worker.decode(errors="replace"))] = int(count)
            else:
                self.address.node.garbage("unreadable", "presence")
        return counts

    # What a sweep does

    async def pages_of(self, worker: WorkerId) -> AsyncIterator[Page]:
        cursor, left = None, _Left(worker)
        while cursor != 0:
            cursor, channels = await self._some_channels(worker, cursor or 0)
            open_at = dict.fromkeys(channels, 0)
            while open_at:
                some = dict(itertools.islice(open_at.items(), CHANNELS))
                page, cursors = await self._page(worker, some, left)
                for channel in some:
                    if cursors.get(channel):
                        open_at[channel] = cursors[channel]
                    else:
                        del open_at[channel]
                if page.channels:
                    yield page
        left.raise_if_any()

    @to_its_end
    async def _some_channels(self, worker: WorkerId, cursor: int) -> tuple[int, list[str]]:
        key = keys.subscribed(self._prefix, worker)
        ((at, some),) = await self._execute([("HSCAN", key, cursor, "COUNT", CHANNELS)])
        return int(at), [channel.decode(errors="replace") for channel in some if channel]

    @to_its_end
    async def _page(
        self, worker: WorkerId, channels: Mapping[str, int], left: _Left
    ) -> tuple[Page, dict[str, int]]:
        count = PAGE // len(channels)
        replies = await self._reach([
            ("HSCAN", keys.presence(self._prefix, channel, worker), cursor, "COUNT", count)
            for channel, cursor in channels.items()
        ])  # fmt: skip
        found = left.without(zip(channels, replies, strict=True))
        members = [(channel, info) for channel, (_, some) in found for info in self._infos(some)]
        return Page([channel for channel, _ in found], members), {
            channel: int(at) for channel, (at, _) in found
        }

    @to_its_end
    async def remove(self, worker: WorkerId, page: Page) -> None:
        going: dict[str, list[tuple[str, None]]] = {channel: [] for channel in page.channels}
        for channel, info in page.members:
            going.setdefault(channel, []).append((info.client, None))
        calls, channels = [], []
        for channel, clients in going.items():
            for chunk in _chunks(clients):
                calls.append(self._write_call(worker, _SWEPT, channel, chunk, sweeping=True))
                channels.append(channel)
        left = _Left(worker)
        done = left.without(zip(channels, await self._reach(calls), strict=True))
        empty = [channel for channel, members in done if not members]
        if empty:
            await self._execute([("HDEL", keys.subscribed(self._prefix, worker), *empty)])
        left.raise_if_any()

    @to_its_end
    async def finish(self, worker: WorkerId) -> None:
        self._listed.pop(worker, None)
        await self._execute([("DEL", keys.subscribed(self._prefix, worker))])

    # Redis

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
            if _is_wrong_type(reply):
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


def _is_wrong_type(reply: Any) -> bool:
    return isinstance(reply, ResponseError) and "WRONGTYPE" in str(reply)


class _Left:
    """Channels of a worker whose masters were not reached: for later."""

    def __init__(self, worker: WorkerId) -> None:
        self._worker = worker
        self._errors: dict[str, Exception] = {}

    def without(self, replies: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Channels and replies, but for those that are left."""
        reached = []
        for channel, reply in replies:
            if is_unreached(reply):
                self._errors[channel] = reply
            else:
                reached.append((channel, reply))
        return [one for one in reached if one[0] not in self._errors]

    def raise_if_any(self) -> None:
        """Raise BrokerUnavailable for those that are left."""
        if self._errors:
            some = f"{len(self._errors)} channels of {self._worker} are left"
            error = next(iter(self._errors.values()))
            raise BrokerUnavailable(f"{some}: {error}") from error


def _stored(info: ClientInfo) -> bytes:
    """With its user in front, where a script finds it."""
    user = info.user.encode()
    return b"%d:%b%b" % (len(user), user, encode(info))


def _read(value: bytes) -> ClientInfo:
    size, _, rest = value.partition(b":")
    return read_client_info(rest[int(size) :])


def _chunks(
    clients: Iterable[tuple[str, ClientInfo | None]],
) -> Iterable[list[tuple[str, ClientInfo | None]]]:
    """At most ``PER_CALL`` at a time; where there are none, once none."""
    every = list(clients)
    for start in range(0, len(every) or 1, PER_CALL):
        yield every[start : start + PER_CALL]
