"""The leases of workers, in Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from gateway.errors import BrokerRefused
from gateway.protocol.deadlines import (
    CLAIM_S,
    FENCE_SHOWN_S,
    FENCED_S,
    LEFT_S,
    MAX_LEASE_S,
    STEP_SHARE,
)
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.calls import to_its_end
from gateway.redis_support.client import script
from gateway.registry.lease_connection import Call, LeaseConnection
from gateway.registry.redis_calls import RedisCalls
from gateway.registry.redis_decoding import leases_of

_FENCED: Final = 0  # what the script ``lease_renew`` returns
KEPT: Final = 1000  # of the fenced, and of those that left: by age only what is more goes
_info_out = msgspec.json.Encoder().encode


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


class RedisLeases(RedisCalls):
    """The part of ``Registry`` that says who lives."""

    def __init__(self, address: RedisAddress, *, prefix: str, name: str) -> None:
        super().__init__(address, prefix=prefix, name=name)
        self._lease = LeaseConnection(self.address, name=f"{name}.lease")
        self._renewal, self._sight = script("lease_renew"), script("lease_look")

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        names = [self.workers, self.info, self.dead, self.born, self.server]
        renewal = Call(
            self._renewal,
            [*names, self.left],
            [
                worker,
                _ms(lease_s),
                _info_out(info),
                # A clock that is only trimmed makes no lease end too late.
                _ms((1 + STEP_SHARE) * MAX_LEASE_S),
                _ms(FENCED_S),
                _ms(LEFT_S),
                KEPT,
            ],
        )
        try:
            sight = Call(self._sight, names, [_ms(FENCE_SHOWN_S)])
            renewed, seen = await self._lease.run(renewal, sight)
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
        seen = await self.run("lease_look", names, [_ms(FENCE_SHOWN_S)])
        return leases_of(seen, self.address.node)

    @to_its_end
    async def claim(self, worker: WorkerId, seen_end_ms: int) -> bool:
        return bool(
            await self.run(
                "sweep_claim", [self.workers, self.dead], [worker, _ms(CLAIM_S), seen_end_ms]
            )
        )

    @to_its_end
    async def fence(self, worker: WorkerId) -> None:
        await self.run("lease_fence", [self.workers, self.dead], [worker])

    @to_its_end
    async def _repair(self) -> None:
        await self.repair()

    async def aclose(self) -> None:
        await self._lease.aclose()
        await super().aclose()
