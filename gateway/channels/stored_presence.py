"""What the presence store has of this worker's members: written in batches, and compared.

One write is under way at a time; what comes meanwhile leaves with the next. Of each client and
channel only the newest state is kept, so while Redis is away nothing grows but by those who are
there. Nobody waits for ever for it: the state is written later all the same. What a master of a
Cluster does not take is set apart, and tried again beside the rest.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Final

from gateway.channels.presence_members import Key, Member, Members
from gateway.channels.presence_waits import PresenceWaits, nothing_to_wait_for
from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.presence.base import MembersLeft, PresenceChange, PresenceStore
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.ids import WorkerId

log = get_logger(__name__)

MAX_BATCH: Final = 1000
RETRY_S: Final = 0.25
LEFT_AGAIN_S: Final = 1.0  # until what one master of several did not take is tried again
LONGEST_COMPARE_S: Final = 10.0  # between two readings of all members: all masters answer those
LOOK_EVERY_S: Final = 60.0  # at each channel, with many quiet moments in between
LOOK_AT_ONCE: Final = 200  # channels
LOOK_PAUSE_S: Final = 1.0  # at least, so that a hundred thousand channels are no load

_Change = tuple[Key, Member, ClientInfo | None]  # None: it is to be removed


class StoredPresence:
    """Brings the store to have what this worker has, and keeps it so.

    Args:
        may_write: False while others may believe this worker dead: a write then could bring back
            members that were swept.

    Attributes:
        members: Everybody whom the store is to know of, or may, and who is only told of. Who adds
            one, or changes it, says so by ``change``, which forgets them too.
    """

    def __init__(
        self, me: WorkerId, store: PresenceStore, *, may_write: Callable[[], bool]
    ) -> None:
        self.members = Members()
        self._me = me
        self._store = store
        self._may_write = may_write
        self._changes: dict[Key, Member] = {}
        self._left: dict[Key, Member] = {}  # of the changes, those whose master did not answer
        self._waits = PresenceWaits()
        self._to_look_at: list[str] = []
        self._work = asyncio.Event()
        self._some_left = asyncio.Event()
        self._compare = asyncio.Event()
        self._comparing = False
        self._compared: set[str] = set()  # meanwhile: the channels whose masters have answered
        self._settled = asyncio.Event()
        self._settled.set()
        self._written_revision = 0  # the last one that was surely written
        self._tried_revision = 0  # the last one; it may have been written, or may be yet
        self._losses = 0  # how often the store was found to have lost writes
        self._restored = 0  # as many of them were made good
        self._sealed = False
        self._failed = False

    @property
    def behind(self) -> bool:
        """Whether the store lacks anything."""
        return self._unwritten or bool(self._left) or self._comparing

    @property
    def _unwritten(self) -> bool:
        """Whether there is something to write now."""
        return bool(self._changes) or self._losses != self._restored

    @property
    def failing(self) -> bool:
        """Whether the store lacks something, and has not taken it."""
        return self._failed and self.behind

    def change(self, key: Key, member: Member) -> asyncio.Future[None]:
        """A member is another than the store knows. Done once it does, or at once if it need not.

        Fails with BrokerUnavailable if it is not written within ``REDIS_DEADLINE_S``; it will be
        later, unless it is another by then. Cancelling changes nothing.
        """
        if not member.kept or not (member.here or member.tried):
            # Nobody is to be told, or nothing was: who comes and goes during an outage leaves
            # nothing behind.
            self._changes.pop(key, None)
            if not member.here:
                self.members.forget(key)
            member.resolve()
            self._note_settled()
            return nothing_to_wait_for()
        self._left.pop(key, None)
        self._changes[key] = member
        self._settled.clear()
        self._work.set()
        done = self._waits.begin()
        member.waiting.append(done)
        return done

    # What the worker calls

    async def run(self) -> None:
        """Write what has collected, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._plan_looks(), name="looks at presence")
            tasks.create_task(self._try_left_again(), name="presence that is left")
            tasks.create_task(self._find_strays(), name="presence compared")
            while True:
                await self._work.wait()
                self._work.clear()
                if not await self._catch_up():
                    await asyncio.sleep(RETRY_S)
                    self._work.set()
                await self._look()

    async def check(self) -> None:
        """Compare the store's revision with ours; Redis may have lost its memory, or writes.

        Raises:
            BrokerUnavailable: Nobody can know now.
        """
        oldest = self._written_revision  # there may be writes while we ask
        if not self._tried_revision:
            return
        found = await self._store.revision(self._me)
        if self._sealed:
            return  # removed, perhaps, and not lost
        if not oldest <= (found or 0) <= self._tried_revision:
            self._lost(found, expected=self._tried_revision)

    def seal(self) -> None:
        """Begin no more writes: others have taken over."""
        self._sealed = True

    async def settled(self) -> None:
        """Wait until all is written."""
        await self._settled.wait()

    async def finish(self) -> None:
        """This worker leaves, and its clients have, as the store knows: nothing of it stays.

        Raises:
            BrokerUnavailable: A list of no channels may; it is forgotten in ``PRESENCE_S``.
        """
        self.seal()
        if self._tried_revision:
            await self._store.finish(self._me)

    # Writing

    async def _catch_up(self) -> bool:
        """Write everything that the store lacks. False: not now."""
        try:
            while self._unwritten and not self._sealed and self._may_write():
                await self._write()
                if not self._left:
                    self._failed = False
        except BrokerUnavailable as error:
            self._note_failure(error)
        return self._sealed or not self._unwritten

    def _note_failure(self, error: BrokerUnavailable) -> None:
        level = "debug" if self._failed else "warning"  # once an outage
        getattr(log, level)("presence not written", error=str(error))
        self._failed = True

    async def _write(self) -> None:
        """Write a batch upon what the store is believed to have; see ``cluster.registration``."""
        losses = self._losses
        anew = losses != self._restored
        if anew:
            self._change_all()
        batch = [
            (key, member, member.kept_info)
            for key, member in itertools.islice(self._changes.items(), MAX_BATCH)
        ]
        changes = [PresenceChange(*key, info) for key, _, info in batch]
        for _, member, _ in batch:
            member.tried = True
        upon = None if anew else range(self._written_revision, self._tried_revision + 1)
        self._tried_revision = revision = self._tried_revision + 1
        left: Collection[str] = ()
        try:
            if not await self._store.write(self._me, revision, changes, upon=upon):
                self._lost(None, expected=self._tried_revision)
                return
        except MembersLeft as error:
            left = error.channels
            self._note_failure(error)
        self._written_revision = revision
        if anew:
            self._restored = losses
            self._comparing = True
            self._compared = set()
            self._compare.set()
        if self._losses != self._restored:
            return  # found out meanwhile: all of it has to be written again
        self._settle(batch, left)

    def _change_all(self) -> None:
        """Everybody is to be written."""
        self._changes.update(self._left)
        self._left.clear()
        self._changes.update(self.members.kept())

    def _settle(self, batch: Sequence[_Change], left: Collection[str]) -> None:
        """These were written, but for those of the channels that are left."""
        for key, member, info in batch:
            if key[0] in left:
                if (still := self._changes.pop(key, None)) is not None:
                    self._left[key] = still
            elif member.kept_info is info:
                self._changes.pop(key, None)
                if info is None:
                    self.members.forget(key)
                member.resolve()
        if self._left:
            self._some_left.set()
        self._note_settled()

    async def _try_left_again(self) -> None:
        """Apart from the rest, which waits for none of it."""
        while True:
            await self._some_left.wait()
            self._some_left.clear()
            await asyncio.sleep(LEFT_AGAIN_S)
            self._changes.update(self._left)
            self._left.clear()
            self._work.set()

    def _lost(self, found: int | None, *, expected: int, **where: str) -> None:
        log.warning("presence lost", expected=expected, found=found, **where)
        self._losses += 1
        self._settled.clear()
        self._work.set()

    async def _find_strays(self) -> None:
        """After a loss, who is there and has left is to be removed."""
        pause_s = LEFT_AGAIN_S
        while True:
            await self._compare.wait()
            self._compare.clear()
            compared: set[str] = set()
            try:
                async for page in self._store.pages_of(self._me):
                    compared.update(page.channels)
                    for channel, info in page.members:
                        self._remove_if_stray(channel, info)
            except BrokerUnavailable as error:
                log.debug("presence not compared", error=str(error))
                if not self._compare.is_set():  # else another loss was found meanwhile
                    self._compared = compared
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_COMPARE_S)
                self._compare.set()
            else:
                pause_s = LEFT_AGAIN_S
                self._comparing = self._compare.is_set()
                self._note_settled()

    def _remove_if_stray(self, channel: str, info: ClientInfo) -> None:
        if self.members.find(channel, info.client) is None:
            gone = Member(info, kept=True, told=False)
            gone.here, gone.tried = False, True
            self.members.add((channel, info.client), gone)
            self._changes[channel, info.client] = gone
            self._work.set()

    def _note_settled(self) -> None:
        if not self.behind:
            self._settled.set()

    # Looking

    async def _plan_looks(self) -> None:
        """The turn of each channel comes, a few at a time."""
        while True:
            channels = self.members.channels
            pause_s = max(LOOK_PAUSE_S, LOOK_EVERY_S / (len(channels) // LOOK_AT_ONCE + 1))
            for start in range(0, len(channels) or 1, LOOK_AT_ONCE):
                await asyncio.sleep(pause_s)
                self._to_look_at = channels[start : start + LOOK_AT_ONCE]
                self._work.set()

    async def _look(self) -> None:
        """Let the keys of quiet channels live on, and find out what somebody has deleted.

        Between two writes: what a look tells is compared with what was written.
        """
        channels, self._to_look_at = self._to_look_at, []
        if self._comparing:  # who is there and has left would count
            channels = [channel for channel in channels if channel in self._compared]
        if not channels or self._unwritten or self._sealed:
            return
        if not self._may_write():
            return
        left = {channel for channel, _ in self._left}
        written = {
            channel: self.members.kept_in(channel) for channel in channels if channel not in left
        }
        written = {channel: count for channel, count in written.items() if count}
        if not written:
            return
        try:
            found = await self._store.look(self._me, self._written_revision, list(written))
        except BrokerUnavailable as error:
            log.debug("presence not looked at", error=str(error))
            return
        for (channel, count), has in zip(written.items(), found, strict=True):
            if isinstance(has, Exception):
                log.debug("presence not looked at", error=str(has), channel=channel)
                continue
            # None: the revision there is above all of ours, which the next write mends.
            if has != count:
                self._lost(has, expected=count, channel=channel)
                return  # all is written again
