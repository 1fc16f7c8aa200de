"""Publications that a worker misses: its subscription of channels is killed, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from tests.support.inprocess import InProcess
from tests.support.redis_server import RedisServer


async def missed_by(served: InProcess, redis_server: RedisServer, done: Awaitable[object]) -> None:
    """Have ``done`` come about while ``served`` is subscribed to no channel.

    Everything runs in one event loop: within one turn of it nobody comes back and subscribes.
    """
    name = f"{served.worker.me}.channels.subscribe"
    task = asyncio.ensure_future(done)
    with redis_server.client() as redis:
        while not task.done():
            for each in redis.client_list():
                if each["name"].endswith(name):
                    redis.client_kill_filter(_id=each["id"])
            await asyncio.sleep(0)
    await task
