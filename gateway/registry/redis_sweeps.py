"""What sweepers share of a dead worker's connections, in Redis."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from gateway.protocol.deadlines import CLAIM_S
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.redis_support import keys
from gateway.redis_support.calls import to_its_end
from gateway.registry.base import AcquiredEntry, Backlog
from gateway.registry.redis_calls import RedisCalls
from gateway.registry.redis_decoding import entry_of


def sweep_keys(prefix: str, worker: WorkerId) -> list[str]:
    """The keys of a sweep: what there is to do, who has it until when, who died of it."""
    return [name(prefix, worker) for name in (keys.connections, keys.sweep, keys.deaths)]


class RedisSweeps(RedisCalls):
    """The part of ``Registry`` by which a sweep is shared."""

    @to_its_end
    async def acquire(
        self, worker: WorkerId, count: int, *, sweeper: WorkerId, poison: bool
    ) -> list[AcquiredEntry]:
        names = [*sweep_keys(self.prefix, worker), self.workers, self.dead, self.left]
        while True:
            flat = await self.run(
                "sweep_acquire", names, [int(CLAIM_S * 1000), count, sweeper, int(poison)]
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

    @to_its_end
    async def extend(self, worker: WorkerId, connections: Collection[ConnectionId]) -> None:
        if connections:
            key = keys.sweep(self.prefix, worker)
            await self.run("sweep_extend", [key], [int(CLAIM_S * 1000), *connections])

    @to_its_end
    async def release(
        self, worker: WorkerId, connections: Collection[ConnectionId], *, died: bool = False
    ) -> None:
        if connections:
            _, *names = sweep_keys(self.prefix, worker)
            await self.run("sweep_release", names, [int(died), *connections])

    @to_its_end
    async def backlog(self, worker: WorkerId) -> Backlog:
        key = keys.connections(self.prefix, worker)
        fields, has_revision, life_ms = await self.execute(
            [("HLEN", key), ("HEXISTS", key, keys.REVISION), ("PTTL", key)]
        )
        return Backlog(fields - has_revision, math.inf if life_ms == -1 else life_ms / 1000)

    @to_its_end
    async def remove(self, worker: WorkerId, connections: Collection[ConnectionId]) -> None:
        await self._remove(worker, connections)

    async def _remove(self, worker: WorkerId, fields: Collection[Any]) -> None:
        if fields:
            conns, sweep, deaths = sweep_keys(self.prefix, worker)
            # In this order: what is no entry any more is acquired by nobody.
            await self.execute([
                ("HDEL", conns, *fields), ("ZREM", sweep, *fields), ("HDEL", deaths, *fields)
            ])  # fmt: skip
