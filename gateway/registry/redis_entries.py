"""The connections of workers, and who their users are, in Redis."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from itertools import chain
from typing import Any, Final

import msgspec

from gateway.errors import BrokerRefused
from gateway.protocol.deadlines import ENTRIES_S
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.calls import to_its_end
from gateway.redis_support.cluster_commands import Command
from gateway.registry.base import Entry, living
from gateway.registry.redis_decoding import (
    connections_of,
    entry_of,
    field_of,
    place_of,
    tails_of,
    without_wrong_types,
)
from gateway.registry.redis_leases import RedisLeases
from gateway.registry.users import Users

CHUNK: Final = 500
UNKNOWN_REVISION: Final = -1  # nobody's: whoever finds it writes its entries again
_GONE: Final = 2  # what the script ``entries_write`` returns
_entry_out = msgspec.msgpack.Encoder().encode


class RedisEntries(RedisLeases):
    """The part of ``Registry`` that lists connections: those of workers that live.

    A hash of users stands beside the entries of a worker: user -> the part after the dot of each
    connection id, in a row with spaces. A change of one writes down all of that user's.
    """

    def __init__(self, address: RedisAddress, *, prefix: str, name: str) -> None:
        super().__init__(address, prefix=prefix, name=name)
        self._users: dict[WorkerId, Users] = {}  # of the workers that write through this registry

    @to_its_end
    async def write(
        self,
        worker: WorkerId,
        revision: int,
        changes: Mapping[ConnectionId, Entry | None],
        *,
        upon: range | None,
    ) -> bool:
        if upon is None:
            self._users.pop(worker, None)
        users = self._users.setdefault(worker, Users())
        users.apply(changes)
        touched = frozenset(users.touched)
        put: list[tuple[Any, Any]] = [
            (c, _entry_out(e)) for c, e in changes.items() if e is not None
        ]
        drop = [c for c, e in changes.items() if e is None]
        theirs = [(user, users.of(user)) for user in touched]
        users_put: list[tuple[Any, Any]] = [
            (field_of(user), tails_of(some)) for user, some in theirs if some
        ]
        users_drop = [field_of(user) for user, some in theirs if not some]
        done = await self.run(
            "entries_write",
            [
                keys.connections(self.prefix, worker), keys.users(self.prefix, worker),
                self.dead, self.left,
            ],
            [
                *(("", "") if upon is None else (upon.start, upon.stop - 1)),
                revision, int(ENTRIES_S), len(put), len(drop), len(users_put), len(users_drop),
                worker, *chain.from_iterable(put), *drop, *chain.from_iterable(users_put),
                *users_drop,
            ],
        )  # fmt: skip
        if done == _GONE:
            raise BrokerRefused(f"not written: {worker} is fenced or has left")
        if done:
            users.touched -= touched  # only now: what has failed is written with the next changes
        return bool(done)

    @to_its_end
    async def revision(self, worker: WorkerId) -> int | None:
        key = keys.connections(self.prefix, worker)
        users = keys.users(self.prefix, worker)
        revision, *_ = await self.execute(
            [
                ("HGET", key, keys.REVISION),
                ("EXPIRE", key, int(ENTRIES_S)),
                ("EXPIRE", users, int(ENTRIES_S)),
                ("HGET", users, ""),  # another type is found out
            ]
        )
        if revision is None:
            return None
        if not revision.isdigit() or len(revision) > 20:
            self.address.node.garbage("no revision", key)
            return UNKNOWN_REVISION
        return int(revision)

    async def entries(self, worker: WorkerId) -> AsyncIterator[tuple[ConnectionId, Entry]]:
        cursor, seen = None, set[ConnectionId]()
        while cursor != 0:
            cursor, some = await self._scan(worker, cursor or 0, CHUNK)
            for item in some:
                if item[0] not in seen:  # HSCAN may return a field twice
                    seen.add(item[0])
                    yield item

    @to_its_end
    async def of_user(self, user: str) -> list[tuple[ConnectionId, Entry]]:
        workers = living(await self.look())
        asked = [("HGET", keys.users(self.prefix, worker), field_of(user)) for worker in workers]
        lists = without_wrong_types(await self.replies(asked))
        wanted: list[list[ConnectionId]] = []
        questions: list[Command] = []
        for worker, tails in zip(workers, lists, strict=True):
            theirs = connections_of(worker, tails or b"")
            for start in range(0, len(theirs), CHUNK):
                chunk = theirs[start : start + CHUNK]
                questions.append(("HMGET", keys.connections(self.prefix, worker), *chunk))
                wanted.append(chunk)
        chunks = without_wrong_types(await self.replies(questions))
        found = (
            entry_of(c, value)
            for chunk, values in zip(wanted, chunks, strict=True)
            for c, value in zip(chunk, values or (), strict=False)
        )
        return [item for item in found if item is not None and item[1].user == user]

    async def page(
        self, cursor: str, *, limit: int, worker: WorkerId | None = None
    ) -> tuple[list[tuple[ConnectionId, Entry]], str]:
        """A cursor is the worker to go on with, and where in its hash (HSCAN's guarantees)."""
        if limit < 1:
            raise ValueError(f"a page of {limit} is smaller than 1")
        start, scan = place_of(cursor)
        if cursor and worker not in (None, start):
            raise ValueError(f"cursor {cursor!r} belongs to another worker")
        return await self._page(start, scan, limit, worker)

    @to_its_end
    async def _page(
        self, start: WorkerId, scan: int, limit: int, worker: WorkerId | None
    ) -> tuple[list[tuple[ConnectionId, Entry]], str]:
        owners = deque(
            owner
            for owner in living(await self.look())
            if owner >= start and worker in (None, owner)
        )
        if not owners or owners[0] != start:
            scan = 0  # that worker has gone: on with the next one, from its beginning
        found: dict[ConnectionId, Entry] = {}
        while owners and len(found) < limit:
            scan, some = await self._scan(owners[0], scan, limit - len(found))
            found.update(some)
            if scan == 0:
                owners.popleft()
        return list(found.items()), f"{owners[0]}.{scan}" if owners else ""

    @to_its_end
    async def _scan(
        self, worker: WorkerId, cursor: int, count: int
    ) -> tuple[int, list[tuple[ConnectionId, Entry]]]:
        key = keys.connections(self.prefix, worker)
        [found] = await self.execute([("HSCAN", key, cursor, "COUNT", count)])
        items = (
            entry_of(field.decode(errors="replace"), value) for field, value in found[1].items()
        )
        return int(found[0]), [item for item in items if item is not None]
