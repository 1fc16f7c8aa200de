"""python-socketio: the server that holds the sockets. What one says goes to the worker."""

from __future__ import annotations

import json
from typing import Any

import redis.asyncio
import socketio

from benchmarks.peers.python_socketio_worker import REDIS_URL, WORK

server = socketio.AsyncServer(
    async_mode="asgi",
    client_manager=socketio.AsyncRedisManager(REDIS_URL),
    transports=["websocket"],
)
application = socketio.ASGIApp(server)
# One connection for all: a pool refuses the hundred-and-first publish at a time, and one without
# that bound opens a connection for each and is slower.
publishing = redis.asyncio.Redis.from_url(REDIS_URL, single_connection_client=True)


@server.on("msg")
async def hand_on(sid: str, text: Any) -> None:
    await publishing.publish(WORK, json.dumps([sid, text]))
