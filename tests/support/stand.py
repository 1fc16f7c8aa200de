"""Several gateways around one Redis: where the bad days happen."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil

from tests.support.crowd import Crowd
from tests.support.pusher import API_KEY
from tests.support.redis_server import RedisServer
from tests.support.serve import Served
from tests.support.waiting import eventually

SWEPT_S = 15.0


class Stand:
    """One Redis and any number of ``gateway serve``, each on a port of its own."""

    def __init__(self, redis: RedisServer, folder: Path, stack: AsyncExitStack) -> None:
        self.redis = redis
        self.served: list[Served] = []
        self._folder = folder
        self._numbers = itertools.count()  # of folders: several may be starting
        self._stack = stack

    async def serve(
        self,
        *options: str,
        redis_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        module: str = "gateway",
    ) -> Served:
        """Start one more, with trace on and a short drain; ready when this returns."""
        served = Served(
            self._folder / f"serve{next(self._numbers)}",
            *options,
            environment={
                "GATEWAY_REDIS_URL": redis_url or self.redis.url,
                "GATEWAY_TRACE": "on",
                "GATEWAY_API_KEYS": API_KEY,
                "GATEWAY_DRAIN_SECONDS": "3",
                **(environment or {}),
            },
            module=module,
        )
        await asyncio.to_thread(served.__enter__)
        self._stack.callback(served.__exit__, None, None, None)
        self.served.append(served)
        return served

    def worker_of(self, served: Served) -> psutil.Process:
        """Its one worker process."""
        [pid] = served.worker_pids()
        return psutil.Process(pid)

    def registered(self) -> set[str]:
        """Every connection that the registry knows, of living and of dead workers."""
        with self.redis.client() as client:
            names = {
                field.decode()
                for key in client.scan_iter("gw:{workers}:conns:*")
                for field in client.hkeys(key)
            }
        return names - {"revision"}

    async def registry_true(self, crowd: Crowd, within_s: float = SWEPT_S) -> None:
        """The registry must come to list the crowd's connections and nothing else."""

        def wrong() -> set[str]:
            return self.registered() ^ {v.connection for v in crowd.clients if v.connected}

        try:
            await eventually(lambda: not wrong(), "a true registry", within_s)
        finally:
            if rest := wrong():
                print(f"the registry is wrong about {sorted(rest)[:5]} and {len(rest)} in all")


@asynccontextmanager
async def a_stand(redis: RedisServer, folder: Path) -> AsyncIterator[Stand]:
    async with AsyncExitStack() as stack:
        yield Stand(redis, folder, stack)
