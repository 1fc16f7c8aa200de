"""How the registry calls Redis: each command once, to its end, and with its errors translated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from redis.exceptions import RedisError, ResponseError

from gateway.errors import BrokerRefused, BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.protocol.ids import WorkerId, is_worker_id
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import client, script
from gateway.registry.redis_decoding import GARBAGE

_SCRIPTS: Final = [
    "lease_look", "lease_leave", "lease_fence", "lease_repair", "entries_write", "sweep_claim",
    "sweep_acquire", "sweep_extend", "sweep_release", "sweep_finish",
]  # fmt: skip

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Calls = TypeVar("_Calls", bound="RedisCalls")


def to_its_end(
    method: Callable[Concatenate[_Calls, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[_Calls, _P], Coroutine[Any, Any, _T]]:
    """Let no cancellation into redis-py, and translate its errors. The caller is cancelled at once.

    redis-py writes with ``asyncio.wait_for``, which in Python 3.11 may swallow a cancellation
    (gh-86296): a task that was to end went on, and its worker never stopped. And a command that
    is broken off leaves its reply behind in the connection.
    """

    async def ask(registry: _Calls, *args: _P.args, **options: _P.kwargs) -> _T:
        try:
            return await method(registry, *args, **options)
        except ResponseError as error:
            if "WRONGTYPE" in str(error):
                await registry.repair(*args)
            raise

    @wraps(method)
    async def asked(registry: _Calls, /, *args: _P.args, **options: _P.kwargs) -> _T:
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


class RedisCalls:
    """What the parts of the registry share: a client, the scripts, and the names of the keys."""

    def __init__(self, address: RedisAddress, *, prefix: str, name: str) -> None:
        self.address = address
        self.prefix = prefix
        self.asking: set[asyncio.Task[Any]] = set()
        self.redis = client(address, name=f"{name}.registry")
        self.scripts = {name: self.redis.register_script(script(name)) for name in _SCRIPTS}
        self.workers = keys.workers(prefix)
        self.info = keys.info(prefix)
        self.dead = keys.dead(prefix)
        self.born = keys.born(prefix)
        self.server = keys.server(prefix)
        self.left = keys.left(prefix)

    async def repair(self, worker: object = None, *_: object) -> None:
        """Something else has written to our keys: remove what has not its type."""
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

    async def aclose(self) -> None:
        if self.asking:
            await asyncio.wait(self.asking, timeout=REDIS_DEADLINE_S)
        await self.redis.aclose()
