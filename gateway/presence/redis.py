"""Presence on Redis.

Of each channel there is a hash of members for every worker, and beside them two of numbers, that
one script keeps: the workers' and the users'. Of each worker there is a hash of its channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.errors import BrokerRefused
from gateway.presence.base import PAGE, PRESENCE_S, MembersLeft, PresenceChange, PresenceStats
from gateway.presence.redis_calls import (
    CHANNELS_OF_WORKER,
    LATE_S,
    LOWER,
    SWEPT,
    chunks_of,
    is_wrong_type,
)
from gateway.presence.redis_sweeps import RedisPresenceSweeps
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.deadlines import LEFT_S
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.calls import to_its_end
from gateway.redis_support.cluster_commands import Command
from gateway.redis_support.commands import keys_of

MAX_DIGITS: Final = 20
PATIENCE_S: Final = 0.5  # with one master of a Cluster, while members wait that live at others
_GONE: Final = 2  # what the script ``presence_channels`` returns
_LATE: Final = -1  # what the script ``presence_write`` returns


class RedisPresenceStore(RedisPresenceSweeps):
    """``PresenceStore`` on one Redis node, or a Cluster: there a channel's is at its master."""

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
            for chunk in chunks_of(clients.items()):
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
        wrong = [number for number in range(len(calls)) if is_wrong_type(replies[number])]
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
            LOWER.call([name], [worker, one or b"", revision, SWEPT, int(LEFT_S)])
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
        return CHANNELS_OF_WORKER.call(names, [*counted, *listing, *striking])

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

    @to_its_end
    async def finish(self, worker: WorkerId) -> None:
        self._listed.pop(worker, None)
        await self._execute([("DEL", keys.subscribed(self._prefix, worker))])
