"""The registry on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from gateway.errors import BrokerUnavailable
from gateway.protocol.ids import ConnectionId, WorkerId, is_worker_id, owner_of
from gateway.protocol.members import Leases, WorkerInfo
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import client, script
from gateway.registry.base import CLAIM_S, ENTRIES_S, Entry

CHUNK: Final = 500

_entry_out = msgspec.msgpack.Encoder().encode
_entry_in = msgspec.msgpack.Decoder(Entry).decode
_info_out = msgspec.json.Encoder().encode
_info_in = msgspec.json.Decoder(WorkerInfo).decode


class RedisRegistry:
    """``Registry`` on one Redis node."""

    def __init__(self, address: RedisAddress, *, prefix: str, name: str = "gateway") -> None:
        self._address = address
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

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        with self._translated():
            renewed = await self._scripts["renew"](
                keys=[self._workers, self._info, self._dead, self._born],
                args=[worker, int(lease_s * 1000), _info_out(info)],
            )
        leases = await self.look()
        if renewed:
            return leases
        # ``look`` leaves out the old tombstones of the swept; whoever was frozen must see its own.
        return replace(leases, tombstones={*leases.tombstones, worker})

    async def look(self) -> Leases:
        with self._translated():
            now_ms, leases, dead = await self._scripts["look"](
                keys=[self._workers, self._info, self._dead]
            )
        return Leases(int(now_ms), _leases(leases), {WorkerId(w.decode()) for w in dead})

    async def claim(self, worker: WorkerId) -> bool:
        with self._translated():
            return bool(
                await self._scripts["claim"](
                    keys=[self._workers, self._dead], args=[worker, int(CLAIM_S * 1000)]
                )
            )

    async def finish(self, worker: WorkerId) -> None:
        with self._translated():
            await self._redis.delete(keys.connections(self._prefix, worker))
            await self._scripts["finish"](keys=[self._workers, self._info], args=[worker])

    async def leave(self, worker: WorkerId) -> None:
        await self.finish(worker)

    async def write(
        self, worker: WorkerId, revision: int, changes: Mapping[ConnectionId, Entry | None]
    ) -> None:
        key = keys.connections(self._prefix, worker)
        put: dict[Any, Any] = {c: _entry_out(e) for c, e in changes.items() if e is not None}
        drop = [c for c, e in changes.items() if e is None]
        with self._translated():
            async with self._redis.pipeline(transaction=True) as pipe:
                if drop:
                    pipe.hdel(key, *drop)
                pipe.hset(key, mapping=put | {keys.REVISION: revision})
                pipe.expire(key, int(ENTRIES_S))
                await pipe.execute()

    async def revision(self, worker: WorkerId) -> int | None:
        key = keys.connections(self._prefix, worker)
        with self._translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hget(key, keys.REVISION)
                pipe.expire(key, int(ENTRIES_S))
                revision, _ = await pipe.execute()
        return None if revision is None else int(revision)

    async def rewrite(
        self, worker: WorkerId, revision: int, entries: Sequence[tuple[ConnectionId, Entry]]
    ) -> None:
        with self._translated():
            await self._redis.delete(keys.connections(self._prefix, worker))
        for start in range(0, len(entries), CHUNK):
            await self.write(worker, revision, dict(entries[start : start + CHUNK]))
        if not entries:
            await self.write(worker, revision, {})

    async def entries(self, worker: WorkerId) -> AsyncIterator[tuple[ConnectionId, Entry]]:
        key = keys.connections(self._prefix, worker)
        with self._translated():
            async for field, value in self._redis.hscan_iter(key, count=CHUNK):
                connection = field.decode()
                if owner_of(connection) is None:
                    continue
                try:
                    entry = _entry_in(value)
                except msgspec.DecodeError:
                    continue
                yield ConnectionId(connection), entry

    async def aclose(self) -> None:
        await self._redis.aclose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"{self._address.display}: {error!r}") from error


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
