"""What the registry lists, for people and scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from gateway.errors import ConfigError
from gateway.protocol.ids import WorkerId, is_worker_id, owner_of
from gateway.redis_support.address import parse
from gateway.registry.redis import RedisRegistry

Row = dict[str, Any]


async def workers(redis_url: str, prefix: str) -> list[Row]:
    """One row a living worker: who, where, what it does, and for how long its lease still runs."""
    async with _registry(redis_url, prefix) as registry:
        leases = await registry.look()
        rows = []
        for worker, (end_ms, info) in sorted(leases.workers.items()):
            if worker in leases.tombstones:
                continue
            role = "both" if info.edge and info.handler else "edge" if info.edge else "handler"
            state = "leaving" if info.leaving else "live" if end_ms > leases.now_ms else "lapsed"
            count = 0
            async for _ in registry.entries(worker):
                count += 1
            rows.append(
                {
                    "worker": worker,
                    "role": role,
                    "state": state,
                    "host": info.host,
                    "pid": info.pid,
                    "connections": count,
                    "lease_s": round((end_ms - leases.now_ms) / 1000, 1),
                }
            )
        return rows


async def connections(
    redis_url: str, prefix: str, *, worker: str | None = None, user: str | None = None
) -> list[Row]:
    """One row a connection that the registry knows, of this worker and of this user if given."""
    if worker is not None and not is_worker_id(worker):
        raise ConfigError(f"{worker!r} is not a worker id: 16 of a-z and 0-9")
    async with _registry(redis_url, prefix) as registry:
        if user is not None:
            found = await registry.of_user(user)
            items = [(c, entry) for c, entry in found if worker in (None, owner_of(c))]
        else:
            owners = [WorkerId(worker)] if worker else (await registry.look()).workers
            items = [item for owner in owners async for item in registry.entries(owner)]
        items.sort(key=lambda item: (owner_of(item[0]) or "", item[1].since_unix_ms))
        return [
            {
                "connection": connection,
                "user": entry.user,
                "address": entry.address,
                "protocol": entry.protocol,
                "since": datetime.fromtimestamp(entry.since_unix_ms / 1000, UTC).isoformat(
                    timespec="seconds"
                ),
            }
            for connection, entry in items
        ]


@asynccontextmanager
async def _registry(redis_url: str, prefix: str) -> AsyncIterator[RedisRegistry]:
    registry = RedisRegistry(parse(redis_url), prefix=prefix, name="gateway.tool")
    try:
        yield registry
    finally:
        await registry.aclose()
