"""The registry on Redis."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from functools import wraps
from itertools import chain
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import msgspec
from redis.exceptions import RedisError, ResponseError

from gateway.errors import BrokerRefused, BrokerUnavailable
from gateway.protocol.ids import ConnectionId, WorkerId, is_worker_id
from gateway.protocol.members import MAX_LEASE_S, Leases, WorkerInfo
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import DEADLINE_S, client, script
from gateway.registry.base import CLAIM_S, ENTRIES_S, AcquiredEntry, Backlog, Entry, living
from gateway.registry.lease_connection import Call, LeaseConnection
from gateway.registry.reading import (
    GARBAGE,
    connections_of,
    entry_of,
    field_of,
    leases_of,
    place_of,
    tails_of,
    without_wrong_types,
)
from gateway.registry.users import Users

CHUNK: Final = 500
_SCRIPTS: Final = [
    "look", "claim", "finish", "leave", "fence", "repair", "write", "acquire", "extend", "release",
]  # fmt: skip
_FENCED: Final = 0  # what the script ``renew`` returns
_GONE: Final = 2  # what the script ``write`` returns

UNKNOWN_REVISION: Final = -1  # nobody's: whoever finds it writes its entries again


_P = ParamSpec("_P")
_T = TypeVar("_T")
_entry_out = msgspec.msgpack.Encoder().encode
_info_out = msgspec.json.Encoder().encode


def _to_its_end(
    method: Callable[Concatenate[RedisRegistry, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[RedisRegistry, _P], Coroutine[Any, Any, _T]]:
    """Let no cancellation into redis-py, and translate its errors. The caller is cancelled at once.

    redis-py writes with ``asyncio.wait_for``, which in Python 3.11 may swallow a cancellation
    (gh-86296): a task that was to end went on, and its worker never stopped. And a command that
    is broken off leaves its reply behind in the connection.
    """

    async def ask(registry: RedisRegistry, *args: _P.args, **options: _P.kwargs) -> _T:
        try:
            return await method(registry, *args, **options)
        except ResponseError as error:
            if "WRONGTYPE" in str(error):
                await registry.repair(*args)
            raise

    @wraps(method)
    async def asked(registry: RedisRegistry, /, *args: _P.args, **options: _P.kwargs) -> _T:
        asking = asyncio.create_task(ask(registry, *args, **options), name=method.__name__)
        registry.asking.add(asking)
        asking.add_done_callback(registry.asking.discard)
        try:
            return await asyncio.shield(asking)
        except ResponseError as error:
            # Of a pipeline redis-py quotes the command, which has values.
            words = str(error).rpartition(" of pipeline caused error: ")[2]
            raise BrokerRefused(f"{registry.address.display}: {words}") from error
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"{registry.address.display}: {error!r}") from error
        except GARBAGE as error:
            registry.address.node.garbage(repr(error), method.__name__)
            raise BrokerUnavailable(f"{registry.address.display}: {error!r}") from error

    return asked


class RedisRegistry:
    """``Registry`` on one Redis node.

    A hash of users stands beside the entries of a worker: user -> the part after the dot of each
    connection id, in a row with spaces. A change of one writes down all of that user's.
    """

    def __init__(self, address: RedisAddress, *, prefix: str, name: str = "gateway") -> None:
        self.address = address
        self.asking: set[asyncio.Task[Any]] = set()
        self._prefix = prefix
        self._redis = client(address, name=f"{name}.registry")
        self._workers = keys.workers(prefix)
        self._info = keys.info(prefix)
        self._dead = keys.dead(prefix)
        self._born = keys.born(prefix)
        self._server = keys.server(prefix)
        self._left = keys.left(prefix)
        self._users: dict[WorkerId, Users] = {}  # of the workers that write through this registry
        self._lease = LeaseConnection(address, name=f"{name}.lease")
        self._renewal, self._sight = script("renew"), script("look")
        self._scripts = {name: self._redis.register_script(script(name)) for name in _SCRIPTS}

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        names = [self._workers, self._info, self._dead, self._born, self._server]
        renewal = Call(
            self._renewal,
            [*names, self._left],
            [worker, int(lease_s * 1000), _info_out(info), int(MAX_LEASE_S * 1000)],
        )
        try:
            renewed, seen = await self._lease.run(renewal, Call(self._sight, names))
        except BrokerRefused as error:
            if "WRONGTYPE" in str(error):
                await self._repair()
            raise
        leases = leases_of(seen, self.address.node)
        if renewed != _FENCED:
            return leases
        # ``look`` leaves out the swept that died long ago; one that was frozen must see itself.
        return replace(leases, fenced={*leases.fenced, worker})

    @_to_its_end
    async def look(self) -> Leases:
        names = [self._workers, self._info, self._dead, self._born, self._server]
        return leases_of(await self._scripts["look"](keys=names), self.address.node)

    @_to_its_end
    async def _repair(self) -> None:
        await self.repair()

    async def repair(self, worker: object = None, *_: object) -> None:
        """Something else has written to our keys: remove what has not its type."""
        kinds = {
            self._workers: "zset", self._info: "hash", self._dead: "zset", self._born: "string",
            self._server: "string", self._left: "zset",
        }  # fmt: skip
        if isinstance(worker, str) and is_worker_id(worker):
            mine = WorkerId(worker)
            kinds |= {keys.connections(self._prefix, mine): "hash"}
            kinds |= {keys.users(self._prefix, mine): "hash"}
            kinds |= {keys.sweep(self._prefix, mine): "zset"}
            kinds |= {keys.deaths(self._prefix, mine): "hash"}
        removed = await self._scripts["repair"](keys=list(kinds), args=list(kinds.values()))
        for key in removed:
            self.address.node.garbage("another type, removed", key.decode(errors="replace"))

    @_to_its_end
    async def claim(self, worker: WorkerId, seen_end_ms: int) -> bool:
        return bool(
            await self._scripts["claim"](
                keys=[self._workers, self._dead],
                args=[worker, int(CLAIM_S * 1000), seen_end_ms],
            )
        )

    @_to_its_end
    async def finish(self, worker: WorkerId) -> None:
        await self._clear(worker)
        await self._scripts["finish"](keys=[self._workers, self._info], args=[worker])

    @_to_its_end
    async def leave(self, worker: WorkerId) -> None:
        await self._clear(worker)
        await self._scripts["leave"](keys=[self._workers, self._info, self._left], args=[worker])
        await self._clear(worker)  # what was written in between; from now on nothing is

    @_to_its_end
    async def fence(self, worker: WorkerId) -> None:
        await self._scripts["fence"](keys=[self._workers, self._dead], args=[worker])

    @_to_its_end
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
        done = await self._scripts["write"](
            keys=[
                keys.connections(self._prefix, worker), keys.users(self._prefix, worker),
                self._dead, self._left,
            ],
            args=[
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

    @_to_its_end
    async def acquire(
        self, worker: WorkerId, count: int, *, sweeper: WorkerId, poison: bool
    ) -> list[AcquiredEntry]:
        names = [*self._swept(worker), self._workers, self._dead, self._left]
        while True:
            flat = await self._scripts["acquire"](
                keys=names, args=[int(CLAIM_S * 1000), count, sweeper, int(poison)]
            )
            taken, junk = [], []
            for field, value, deaths in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
                item = entry_of(field.decode(errors="surrogateescape"), value)
                if item is None:
                    junk.append(field)
                else:
                    taken.append(AcquiredEntry(*item, int(deaths)))
            await self._remove(worker, junk)
            if taken or not junk:
                return taken

    @_to_its_end
    async def extend(self, worker: WorkerId, connections: Collection[ConnectionId]) -> None:
        if connections:
            key = keys.sweep(self._prefix, worker)
            await self._scripts["extend"](keys=[key], args=[int(CLAIM_S * 1000), *connections])

    @_to_its_end
    async def release(
        self, worker: WorkerId, connections: Collection[ConnectionId], *, died: bool = False
    ) -> None:
        if connections:
            _, *names = self._swept(worker)
            await self._scripts["release"](keys=names, args=[int(died), *connections])

    @_to_its_end
    async def backlog(self, worker: WorkerId) -> Backlog:
        key = keys.connections(self._prefix, worker)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hlen(key)
            pipe.hexists(key, keys.REVISION)
            pipe.pttl(key)
            fields, has_revision, life_ms = await pipe.execute()
        return Backlog(fields - has_revision, math.inf if life_ms == -1 else life_ms / 1000)

    @_to_its_end
    async def remove(self, worker: WorkerId, connections: Collection[ConnectionId]) -> None:
        await self._remove(worker, connections)

    @_to_its_end
    async def revision(self, worker: WorkerId) -> int | None:
        key = keys.connections(self._prefix, worker)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(key, keys.REVISION)
            pipe.expire(key, int(ENTRIES_S))
            pipe.expire(keys.users(self._prefix, worker), int(ENTRIES_S))
            pipe.hget(keys.users(self._prefix, worker), "")  # another type is found out
            revision, *_ = await pipe.execute()
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

    @_to_its_end
    async def of_user(self, user: str) -> list[tuple[ConnectionId, Entry]]:
        workers = living(await self.look())
        async with self._redis.pipeline(transaction=False) as pipe:
            for worker in workers:
                pipe.hget(keys.users(self._prefix, worker), field_of(user))
            lists = without_wrong_types(await pipe.execute(raise_on_error=False))
        wanted: list[list[ConnectionId]] = []
        async with self._redis.pipeline(transaction=False) as pipe:
            for worker, tails in zip(workers, lists, strict=True):
                theirs = connections_of(worker, tails or b"")
                for start in range(0, len(theirs), CHUNK):
                    chunk = theirs[start : start + CHUNK]
                    pipe.hmget(keys.connections(self._prefix, worker), chunk)
                    wanted.append(chunk)
            chunks = without_wrong_types(await pipe.execute(raise_on_error=False))
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

    @_to_its_end
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

    async def aclose(self) -> None:
        if self.asking:
            await asyncio.wait(self.asking, timeout=DEADLINE_S)
        await self._lease.aclose()
        await self._redis.aclose()

    @_to_its_end
    async def _scan(
        self, worker: WorkerId, cursor: int, count: int
    ) -> tuple[int, list[tuple[ConnectionId, Entry]]]:
        key = keys.connections(self._prefix, worker)
        found: Any = await self._redis.hscan(key, cursor, count=count)
        items = (
            entry_of(field.decode(errors="replace"), value) for field, value in found[1].items()
        )
        return int(found[0]), [item for item in items if item is not None]

    def _swept(self, worker: WorkerId) -> list[str]:
        """The keys of a sweep: what there is to do, who has it until when, who died of it."""
        names = (keys.connections, keys.sweep, keys.deaths)
        return [name(self._prefix, worker) for name in names]

    async def _remove(self, worker: WorkerId, fields: Collection[Any]) -> None:
        if fields:
            conns, sweep, deaths = self._swept(worker)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hdel(conns, *fields)
                pipe.zrem(sweep, *fields)
                pipe.hdel(deaths, *fields)
                await pipe.execute()

    @_to_its_end
    async def _clear(self, worker: WorkerId) -> None:
        self._users.pop(worker, None)
        await self._redis.delete(*self._swept(worker), keys.users(self._prefix, worker))
