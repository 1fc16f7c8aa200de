"""What the parts of the registry on Redis share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.protocol.ids import WorkerId, is_worker_id
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.calls import Calls
from gateway.redis_support.cluster_commands import Command
from gateway.redis_support.commands import Commands, Script

_SCRIPTS: Final = {name: Script(name) for name in (
    "lease_look", "lease_leave", "lease_fence", "lease_repair", "entries_write", "sweep_claim",
    "sweep_acquire", "sweep_extend", "sweep_release", "sweep_finish",
)}  # fmt: skip


class RedisCalls(Calls):
    """What the parts of the registry share: how Redis is asked, and the names of the keys."""

    def __init__(self, address: RedisAddress, *, prefix: str, name: str) -> None:
        super().__init__(address.of(keys.workers(prefix)), name=f"{name}.registry")
        self.prefix = prefix
        self._commands = Commands(
            address, self.redis, name=f"{name}.registry", scripts=_SCRIPTS.values()
        )
        self.workers = keys.workers(prefix)
        self.info = keys.info(prefix)
        self.dead = keys.dead(prefix)
        self.born = keys.born(prefix)
        self.server = keys.server(prefix)
        self.left = keys.left(prefix)

    async def run(self, name: str, names: Sequence[str], arguments: Iterable[object]) -> Any:
        """What a script returns. Raises what Redis refuses it with."""
        [reply] = await self.execute([_SCRIPTS[name].call(names, arguments)])
        return reply

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """What was replied to these, in order. Raises what one of them failed with."""
        replies = await self.replies(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def replies(self, commands: Sequence[Command]) -> list[Any]:
        """The same, of which one may be an exception."""
        return await self._commands.send(commands)

    async def aclose(self) -> None:
        await super().aclose()
        await self._commands.aclose()

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
        removed = await self.run("lease_repair", list(kinds), kinds.values())
        for key in removed:
            self.address.node.garbage("another type, removed", key.decode(errors="replace"))
