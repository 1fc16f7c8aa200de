"""A registry within one process: for `uvicorn gateway.asgi:app`, and for tests."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Final

from gateway.errors import BrokerRefused
from gateway.protocol.deadlines import CLAIM_S, FENCED_S
from gateway.protocol.ids import ConnectionId, WorkerId, owner_of
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.registry.base import AcquiredEntry, Backlog, Entry, living
from gateway.registry.users import Users

_SINCE_EVER: Final = -(10**15)  # it forgets nothing while its workers live


class MemoryRegistry:
    """``Registry`` in dictionaries. Several workers of one event loop may share one.

    Args:
        now: Seconds of the registry's own time.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._leases: dict[WorkerId, tuple[int, WorkerInfo]] = {}
        self._dead: dict[WorkerId, int] = {}
        self._left: set[WorkerId] = set()
        self._entries: dict[WorkerId, dict[ConnectionId, Entry]] = {}
        self._users: dict[WorkerId, Users] = {}
        self._revisions: dict[WorkerId, int] = {}
        self._taken: dict[WorkerId, dict[ConnectionId, int]] = {}
        self._deaths: dict[ConnectionId, tuple[int, WorkerId | None]] = {}  # and who has it

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        if worker not in self._dead and worker not in self._left:
            self._leases[worker] = (self._now_ms() + int(lease_s * 1000), info)
        return await self.look()

    async def look(self) -> Leases:
        now_ms = self._now_ms()
        self._dead = {w: at for w, at in self._dead.items() if now_ms - at < FENCED_S * 1000}
        return Leases(now_ms, dict(self._leases), set(self._dead), known_since_ms=_SINCE_EVER)

    async def claim(self, worker: WorkerId, seen_end_ms: int) -> bool:
        now_ms = self._now_ms()
        lease = self._leases.get(worker)
        if lease is None or lease[0] > now_ms or lease[0] != seen_end_ms:
            return False
        self._dead.setdefault(worker, now_ms)
        self._leases[worker] = (now_ms + int(CLAIM_S * 1000), lease[1])
        return True

    async def finish(self, worker: WorkerId) -> None:
        self._forget(worker)

    async def leave(self, worker: WorkerId) -> None:
        self._forget(worker)
        self._left.add(worker)

    async def fence(self, worker: WorkerId) -> None:
        if worker in self._leases and worker not in self._dead:
            self._dead[worker] = self._now_ms()
            self._leases[worker] = (0, self._leases[worker][1])

    async def write(
        self,
        worker: WorkerId,
        revision: int,
        changes: Mapping[ConnectionId, Entry | None],
        *,
        upon: range | None,
    ) -> bool:
        if worker in self._dead or worker in self._left:
            raise BrokerRefused(f"not written: {worker} is fenced or has left")
        if upon is None:
            self._entries.pop(worker, None)
            self._users.pop(worker, None)
        elif self._revisions.get(worker, 0) not in upon:
            return False
        entries = self._entries.setdefault(worker, {})
        for connection, entry in changes.items():
            if entry is None:
                entries.pop(connection, None)
            else:
                entries[connection] = entry
        users = self._users.setdefault(worker, Users())
        users.apply(changes)
        users.touched.clear()
        self._revisions[worker] = revision
        return True

    async def acquire(
        self, worker: WorkerId, count: int, *, sweeper: WorkerId, poison: bool
    ) -> list[AcquiredEntry]:
        held, now_ms = self._taken.setdefault(worker, {}), self._now_ms()
        free: list[AcquiredEntry] = []
        for connection, entry in self._entries.get(worker, {}).items():
            if held.get(connection, now_ms) <= now_ms:
                deaths, holder = self._deaths.get(connection, (0, None))
                deaths += holder != sweeper and self._died(holder)
                free.append(AcquiredEntry(connection, entry, deaths))
        some = [item for item in free if not item.deaths][:count]
        if free and not some and poison:
            some = [min(free, key=lambda item: item.deaths)]
        for connection, _, deaths in some:
            held[connection] = self._claim_end_ms()
            self._deaths[connection] = (deaths, sweeper)
        return some

    async def extend(self, worker: WorkerId, connections: Collection[ConnectionId]) -> None:
        taken = self._taken.get(worker, {})
        taken.update(dict.fromkeys(taken.keys() & set(connections), self._claim_end_ms()))

    async def release(
        self, worker: WorkerId, connections: Collection[ConnectionId], *, died: bool = False
    ) -> None:
        for connection in connections:
            if self._taken.get(worker, {}).pop(connection, None) is not None:
                deaths, _ = self._deaths.get(connection, (0, None))
                self._deaths[connection] = (deaths + died, None)

    async def backlog(self, worker: WorkerId) -> Backlog:
        return Backlog(len(self._entries.get(worker, {})), math.inf)

    async def remove(self, worker: WorkerId, connections: Collection[ConnectionId]) -> None:
        for connection in connections:
            self._entries.get(worker, {}).pop(connection, None)
            self._taken.get(worker, {}).pop(connection, None)
            self._deaths.pop(connection, None)
        if worker in self._users:
            self._users[worker].apply(dict.fromkeys(connections))

    async def revision(self, worker: WorkerId) -> int | None:
        return self._revisions.get(worker)

    async def entries(self, worker: WorkerId) -> AsyncIterator[tuple[ConnectionId, Entry]]:
        for item in list(self._entries.get(worker, {}).items()):
            yield item

    async def of_user(self, user: str) -> list[tuple[ConnectionId, Entry]]:
        return [
            (connection, self._entries[worker][connection])
            for worker in living(await self.look())
            if worker in self._users
            for connection in self._users[worker].of(user)
        ]

    async def page(
        self, cursor: str, *, limit: int, worker: WorkerId | None = None
    ) -> tuple[list[tuple[ConnectionId, Entry]], str]:
        """A cursor is the last connection of its page: ids sort by worker."""
        owner = owner_of(cursor)
        if cursor and (owner is None or worker not in (None, owner)):
            raise ValueError(f"cursor {cursor!r} is not of this list")
        if limit < 1:
            raise ValueError(f"a page of {limit} is smaller than 1")
        found = heapq.nsmallest(
            limit + 1,
            (
                item
                for owner in living(await self.look())
                if worker in (None, owner)
                for item in self._entries.get(owner, {}).items()
                if item[0] > cursor
            ),
            key=lambda item: item[0],
        )
        page = found[:limit]
        return page, page[-1][0] if len(found) > limit else ""

    async def aclose(self) -> None:
        pass

    def _forget(self, worker: WorkerId) -> None:
        self._leases.pop(worker, None)
        self._entries.pop(worker, None)
        self._users.pop(worker, None)
        self._revisions.pop(worker, None)
        for connection in self._taken.pop(worker, {}):
            self._deaths.pop(connection, None)

    def _died(self, sweeper: WorkerId | None) -> bool:
        """Who has left, or lives and only failed to extend, did not die of it."""
        if sweeper is None:
            return False
        lives = sweeper in self._left or self._leases.get(sweeper, (0,))[0] > self._now_ms()
        return sweeper in self._dead or not lives

    def _claim_end_ms(self) -> int:
        return self._now_ms() + int(CLAIM_S * 1000)

    def _now_ms(self) -> int:
        return int(self._now() * 1000)
