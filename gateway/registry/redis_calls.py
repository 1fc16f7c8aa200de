"""What the parts of the registry on Redis share."""

from __future__ import annotations

from typing import Final

from gateway.protocol.ids import WorkerId, is_worker_id
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.calls import Calls
from gateway.redis_support.client import script

_SCRIPTS: Final = [
    "lease_look", "lease_leave", "lease_fence", "lease_repair", "entries_write", "sweep_claim",
    "sweep_acquire", "sweep_extend", "sweep_release", "sweep_finish",
]  # fmt: skip


class RedisCalls(Calls):
    """What the parts of the registry share: a client, the scripts, and the names of the keys."""

    def __init__(self, address: RedisAddress, *, prefix: str, name: str) -> None:
        super().__init__(address.of(keys.workers(prefix)), name=f"{name}.registry")
        self.prefix = prefix
        self.scripts = {name: self.redis.register_script(script(name)) for name in _SCRIPTS}
        self.workers = keys.workers(prefix)
        self.info = keys.info(prefix)
        self.dead = keys.dead(prefix)
        self.born = keys.born(prefix)
        self.server = keys.server(prefix)
        self.left = keys.left(prefix)

    async def repair(self, worker: object = None, *_: object) -> None:
        kinds = {
            self.workers: "zset", self.info: "hash", self.dead: "zset", self.born: "string",
            self.server: "string", self.left: "zset",
        }  # fmt: skip
        if isinstance(worker, str) and is_worker_id(worker):
            mine = WorkerId(worker)
            kinds |= {keys.connections(self.prefix, mine): "hash"}
            kinds |= {keys.users(self.prefix, mine): "hash"}
            kinds |= {keys.sweep(self.prefix, mine): "zset"}
            kinds |= {keys.deaths(self.prefix, mine): "hash"}
        removed = await self.scripts["lease_repair"](keys=list(kinds), args=list(kinds.values()))
        for key in removed:
            self.address.node.garbage("another type, removed", key.decode(errors="replace"))
