"""The registry on Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import msgspec
from redis.exceptions import RedisError

from gateway.errors import BrokerUnavailable
from gateway.protocol.ids import ConnectionId, WorkerId, is_worker_id, owner_of
from gateway.protocol.members import Leases, WorkerInfo
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import DEADLINE_S, client, script
from gateway.registry.base import CLAIM_S, ENTRIES_S, Entry

CHUNK: Final = 500

_P = ParamSpec("_P")
_T = TypeVar("_T")
_entry_out = msgspec.msgpack.Encoder().encode
_entry_in = msgspec.msgpack.Decoder(Entry).decode
_info_out = msgspec.json.Encoder().encode
_info_in = msgspec.json.Decoder(WorkerInfo).decode


def _to_its_end(
    method: Callable[Concatenate[RedisRegistry, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[RedisRegistry, _P], Coroutine[Any, Any, _T]]:
    """Let no cancellation into redis-py, and translate its errors. The caller is cancelled at once.

    redis-py writes with ``asyncio.wait_for``, which in Python 3.11 may swallow a cancellation
    (gh-86296): a task that was to end went on, and its worker never stopped. And a command that
    is broken off leaves its reply behind in the connection.
    """

    @wraps(method)
    async def asked(registry: RedisRegistry, /, *args: _P.args, **options: _P.kwargs) -> _T:
        asking = asyncio.create_task(method(registry, *args, **options), name=method.__name__)
        registry.asking.add(asking)
        asking.add_done_callback(registry.asking.discard)
        try:
            return await asyncio.shield(asking)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"{registry.address.display}: {error!r}") from error

    return asked


class RedisRegistry:
    """``Registry`` on one Redis node."""

    def __init__(self, address: RedisAddress, *, prefix: str, name: str = "gateway") -> None:
        self.address = address
        self.asking: set[asyncio.Task[Any]] = set()
        self._prefix = prefix
        self._redis = client(address, name=f"{name}.registry")
        self._workers = keys.workers(prefix)
        self._info = keys.info(prefix)
        self._dead = keys.dead(prefix)
        self._born = keys.born(prefix)
        self._scripts = {
            name: self._redis.register_script(script(name))
            for name in ("look", "renew", "claim", "finish")
        }

    @_to_its_end
    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        renewed = await self._scripts["renew"](
            keys=[self._workers, self._info, self._dead, self._born],
            args=[worker, int(lease_s * 1000), _info_out(info)],
        )
        leases = await self.look()
        if renewed:
            return leases
        # ``look`` leaves out the old tombstones of the swept; whoever was frozen must see its own.
        return replace(leases, tombstones={*leases.tombstones, worker})

    @_to_its_end
    async def look(self) -> Leases:
        now_ms, born_ms, leases, dead = await self._scripts["look"](
            keys=[self._workers, self._info, self._dead, self._born]
        )
        tombstones = {WorkerId(worker.decode()) for worker in dead}
        return Leases(int(now_ms), _leases(leases), tombstones, int(born_ms))

    @_to_its_end
    async def claim(self, worker: WorkerId) -> bool:
        return bool(
            await self._scripts["claim"](
                keys=[self._workers, self._dead], args=[worker, int(CLAIM_S * 1000)]
            )
        )

    @_to_its_end
    async def finish(self, worker: WorkerId) -> None:
        await self._redis.delete(keys.connections(self._prefix, worker))
        await self._scripts["finish"](keys=[self._workers, self._info], args=[worker])

    async def leave(self, worker: WorkerId) -> None:
        await self.finish(worker)

    @_to_its_end
    async def write(
        self, worker: WorkerId, revision: int, changes: Mapping[ConnectionId, Entry | None]
    ) -> None:
        key = keys.connections(self._prefix, worker)
        put: dict[Any, Any] = {c: _entry_out(e) for c, e in changes.items() if e is not None}
        drop = [c for c, e in changes.items() if e is None]
        async with self._redis.pipeline(transaction=True) as pipe:
            if drop:
                pipe.hdel(key, *drop)
            pipe.hset(key, mapping=put | {keys.REVISION: revision})
            pipe.expire(key, int(ENTRIES_S))
            await pipe.execute()

    @_to_its_end
    async def revision(self, worker: WorkerId) -> int | None:
        key = keys.connections(self._prefix, worker)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(key, keys.REVISION)
            pipe.expire(key, int(ENTRIES_S))
            revision, _ = await pipe.execute()
        return None if revision is None else int(revision)

    async def rewrite(
        self, worker: WorkerId, revision: int, entries: Sequence[tuple[ConnectionId, Entry]]
    ) -> None:
        await self._clear(worker)
        for start in range(0, len(entries), CHUNK):
            await self.write(worker, revision, dict(entries[start : start + CHUNK]))
        if not entries:
            await self.write(worker, revision, {})

    async def entries(self, worker: WorkerId) -> AsyncIterator[tuple[ConnectionId, Entry]]:
        cursor = None
        while cursor != 0:
            cursor, page = await self._page(worker, cursor or 0)
            for field, value in page.items():
                connection = field.decode()
                if owner_of(connection) is None:
                    continue
                try:
                    entry = _entry_in(value)
                except msgspec.DecodeError:
                    continue
                yield ConnectionId(connection), entry

    async def aclose(self) -> None:
        if self.asking:
            await asyncio.wait(self.asking, timeout=DEADLINE_S)
        await self._redis.aclose()

    @_to_its_end
    async def _page(self, worker: WorkerId, cursor: int) -> tuple[int, dict[Any, Any]]:
        key = keys.connections(self._prefix, worker)
        found: Any = await self._redis.hscan(key, cursor, count=CHUNK)
        return int(found[0]), found[1]

    @_to_its_end
    async def _clear(self, worker: WorkerId) -> None:
        await self._redis.delete(keys.connections(self._prefix, worker))


def _leases(flat: Sequence[bytes]) -> dict[WorkerId, tuple[int, WorkerInfo]]:
    leases: dict[WorkerId, tuple[int, WorkerInfo]] = {}
    for at in range(0, len(flat), 3):
        worker = flat[at].decode(errors="replace")
        if not is_worker_id(worker):
            continue
        try:
            info = _info_in(flat[at + 2])
        except msgspec.DecodeError:
            info = WorkerInfo(edge=False, handler=False)  # it lives, and can do nothing we know of
        leases[WorkerId(worker)] = (int(float(flat[at + 1])), info)
    return leases
