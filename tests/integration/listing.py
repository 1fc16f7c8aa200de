"""What the registry says, read from Redis itself."""

from __future__ import annotations

import msgspec

from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.registry.base import Entry
from gateway.settings.config import Settings
from tests.support.redis_server import RedisServer


def entries(server: RedisServer, settings: Settings, worker: WorkerId) -> dict[str, Entry]:
    """The connections of one worker."""
    with server.client() as client:
        found: dict[bytes, bytes] = client.hgetall(keys.connections(settings.redis_prefix, worker))
    return {
        field.decode(): msgspec.msgpack.decode(value, type=Entry)
        for field, value in found.items()
        if field.decode() != keys.REVISION
    }


def listed_workers(server: RedisServer, settings: Settings) -> set[str]:
    """Everything that has a lease, or had one and is not swept."""
    with server.client() as client:
        found: list[bytes] = client.zrange(keys.workers(settings.redis_prefix), 0, -1)
    return {name.decode() for name in found}


def fenced_workers(server: RedisServer, settings: Settings) -> set[str]:
    with server.client() as client:
        found: list[bytes] = client.zrangebyscore(keys.dead(settings.redis_prefix), 1, "+inf")
    return {name.decode() for name in found}


def all_keys(server: RedisServer, settings: Settings) -> set[str]:
    with server.client() as client:
        return {key.decode() for key in client.scan_iter(f"{settings.redis_prefix}:*")}
