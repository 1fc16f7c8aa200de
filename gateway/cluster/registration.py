"""This worker's entries in the registry, written behind its connections' backs, in batches.

A connection is written before its first message is handled: ``put`` takes what to do once it is.
While Redis is away changes collect, one an entry, and nothing is lost but time.

Whether it can be written is tried all the time: a connection that is opened while it cannot would
have to wait, and the first to open one is the wrong one to find out.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.registry.base import Entry, Registry, bounded

log = get_logger(__name__)

_NOTHING: Final = object()
RETRY_S: Final = 0.25
MAX_BATCH: Final = 1000
IDLE_WRITE_S: Final = 2.0  # between two writes, if need be an empty one
BEHIND_S: Final = 2.0


class Registration:
    """The list of one worker's connections, and what of it the registry still lacks.

    Args:
        may_write: False while others may believe this worker dead: a write then could bring back
            entries that were swept.

    Attributes:
        writing: A write is under way.
    """

    def __init__(
        self,
        me: WorkerId,
        registry: Registry,
        *,
        may_write: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._me = me
        self._registry = registry
        self._may_write = may_write
        self._entries: dict[ConnectionId, Entry] = {}
        self._changes: dict[ConnectionId, Entry | None] = {}
        self._written: dict[ConnectionId, Callable[[], None]] = {}
        self._written_revision = 0  # the last one that was surely written
        self._tried_revision = 0  # the last one; it may have been written, or may be yet
        self._lost = False  # the registry has to begin anew
        self._sealed = False
        self._work = asyncio.Event()
        self._now = now
        self._behind_since: float | None = None
        self._failed = False
        self.writing = False

    def __len__(self) -> int:
        """How many connections are listed, or are to be."""
        return len(self._entries)

    @property
    def behind(self) -> bool:
        """Whether the registry lacks anything."""
        return bool(self._changes) or self._lost

    @property
    def keeps_up(self) -> bool:
        """Whether a connection that is opened now would soon be written."""
        behind_since = self._behind_since
        return not self._failed and (behind_since is None or self._now() - behind_since < BEHIND_S)

    def put(self, connection: ConnectionId, entry: Entry, written: Callable[[], None]) -> None:
        """Add or change an entry, bounded, and call ``written`` once the registry has it."""
        entry = bounded(entry)
        self._entries[connection] = entry
        self._changes[connection] = entry
        self._written[connection] = written
        self._work.set()

    def change(self, connection: ConnectionId, entry: Entry) -> None:
        """Change an entry, bounded; nothing if it is not listed."""
        if connection in self._entries:
            self._entries[connection] = self._changes[connection] = bounded(entry)
            self._work.set()

    def drop(self, connection: ConnectionId) -> None:
        if self._entries.pop(connection, None) is not None:
            self._changes[connection] = None
            self._written.pop(connection, None)
            self._work.set()

    def seal(self) -> None:
        """Begin no more writes: the entries are removed as a whole, or have been."""
        self._sealed = True

    async def check(self) -> None:
        """Compare the registry's revision with ours; a failover may have lost writes.

        Raises:
            BrokerUnavailable: Nobody can know now.
        """
        oldest = self._written_revision  # there may be writes while we ask
        found = await self._registry.revision(self._me)
        if self._sealed:
            return  # removed, perhaps, and not lost
        if not oldest <= (found or 0) <= self._tried_revision:
            self._begin_anew(found)
            self._work.set()

    async def run(self) -> None:
        """Write what has collected, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_WRITE_S):
                    await self._work.wait()
            self._work.clear()
            if not await self._catch_up():
                await asyncio.sleep(RETRY_S)
                self._work.set()

    async def _catch_up(self) -> bool:
        """Write everything that the registry lacks, be it nothing. False: not now."""
        self.writing = True
        try:
            while self._allowed:
                self._behind_since = self._now()
                await self._write()
                self._behind_since, self._failed = None, False
                if not self.behind:
                    break
        except BrokerUnavailable as error:
            level = "debug" if self._failed else "warning"  # once an outage
            getattr(log, level)("registry not written", error=str(error))
            self._failed = True
        finally:
            self.writing = False
        return self._sealed or (not self._changes and not self._lost and not self._failed)

    @property
    def _allowed(self) -> bool:
        return not self._sealed and self._may_write()

    async def _write(self) -> None:
        """Write a batch upon what the registry is believed to have.

        Those of our writes of which nobody knows may be there too, or may come yet. What they hold
        is in every later one as well, until one is surely written; and none comes after a later.
        """
        anew = self._lost
        upon = None if anew else range(self._written_revision, self._tried_revision + 1)
        batch = dict(itertools.islice(self._changes.items(), MAX_BATCH))
        self._tried_revision = revision = self._tried_revision + 1
        if not await self._registry.write(self._me, revision, batch, upon=upon):
            self._begin_anew(None)
            return
        self._written_revision = revision
        if self._lost and not anew:
            return  # found out meanwhile: all of it has to be written again
        self._lost = False
        for connection, entry in batch.items():
            if self._changes.get(connection, _NOTHING) is entry:
                del self._changes[connection]
            if entry is not None and (written := self._written.pop(connection, None)):
                try:
                    written()
                except Exception:  # of one connection: the others are told, and this goes on
                    log.exception("outcome not told")

    def _begin_anew(self, found: int | None) -> None:
        log.warning("registry entries lost", expected=self._tried_revision, found=found)
        self._lost = True
        self._changes = dict(self._entries)
