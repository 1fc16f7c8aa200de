"""python-socketio: the other process. It answers through the manager, as its guide tells."""

from __future__ import annotations

import json
import os

import redis.asyncio
import socketio
import uvloop

REDIS_URL = os.environ["PEER_REDIS_URL"]
WORK = "peer-work"


async def work() -> None:
    manager = socketio.AsyncRedisManager(REDIS_URL, write_only=True)
    async with redis.asyncio.Redis.from_url(REDIS_URL).pubsub() as subscription:
        await subscription.subscribe(WORK)
        async for event in subscription.listen():
            if event["type"] == "message":
                sid, text = json.loads(event["data"])
                await manager.emit("msg", text, room=sid)


if __name__ == "__main__":
    uvloop.run(work())
