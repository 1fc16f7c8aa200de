"""The registry on Redis."""

from __future__ import annotations

from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.calls import to_its_end
from gateway.registry.redis_entries import RedisEntries
from gateway.registry.redis_sweeps import RedisSweeps, sweep_keys


class RedisRegistry(RedisEntries, RedisSweeps):
    """``Registry`` on one Redis node: leases, entries and sweeps, and what ends all three."""

    def __init__(self, address: RedisAddress, *, prefix: str, name: str = "gateway") -> None:
        super().__init__(address, prefix=prefix, name=name)

    @to_its_end
    async def finish(self, worker: WorkerId) -> None:
        await self._clear(worker)
        await self.run("sweep_finish", [self.workers, self.info], [worker])

    @to_its_end
    async def leave(self, worker: WorkerId) -> None:
        await self._clear(worker)
        await self.run("lease_leave", [self.workers, self.info, self.left], [worker])
        await self._clear(worker)  # what was written in between; from now on nothing is

    @to_its_end
    async def _clear(self, worker: WorkerId) -> None:
        self._users.pop(worker, None)
        names = [*sweep_keys(self.prefix, worker), keys.users(self.prefix, worker)]
        await self.execute([("DEL", name) for name in names])
