"""The leases of workers, in Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from gateway.errors import BrokerRefused
from gateway.protocol.ids import WorkerId
from gateway.protocol.members import MAX_LEASE_S, Leases, WorkerInfo
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import script
from gateway.registry.base import CLAIM_S
from gateway.registry.lease_connection import Call, LeaseConnection
from gateway.registry.reading import leases_of
from gateway.registry.redis_calls import RedisCalls, to_its_end

_FENCED: Final = 0  # what the script ``renew`` returns
_info_out = msgspec.json.Encoder().encode


class RedisLeases(RedisCalls):
    """The part of ``Registry`` that says who lives."""

    def __init__(self, address: RedisAddress, *, prefix: str, name: str) -> None:
        super().__init__(address, prefix=prefix, name=name)
        self._lease = LeaseConnection(address, name=f"{name}.lease")
        self._renewal, self._sight = script("renew"), script("look")

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        names = [self.workers, self.info, self.dead, self.born, self.server]
        renewal = Call(
            self._renewal,
            [*names, self.left],
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

    @to_its_end
    async def look(self) -> Leases:
        names = [self.workers, self.info, self.dead, self.born, self.server]
        return leases_of(await self.scripts["look"](keys=names), self.address.node)

    @to_its_end
    async def claim(self, worker: WorkerId, seen_end_ms: int) -> bool:
        return bool(
            await self.scripts["claim"](
                keys=[self.workers, self.dead],
                args=[worker, int(CLAIM_S * 1000), seen_end_ms],
            )
        )

    @to_its_end
    async def fence(self, worker: WorkerId) -> None:
        await self.scripts["fence"](keys=[self.workers, self.dead], args=[worker])

    @to_its_end
    async def _repair(self) -> None:
        await self.repair()

    async def aclose(self) -> None:
        await self._lease.aclose()
        await super().aclose()
