"""What the registry lists, for people and scripts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from gateway.backend_client.asynchronous import inquire
from gateway.backend_client.client import client_at
from gateway.errors import BrokerRefused, BrokerUnavailable, ConfigError
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.protocol.ids import WorkerId, is_worker_id, owner_of
from gateway.protocol.receipt import Receipt
from gateway.redis_support.check import why_not
from gateway.redis_support.url import parse
from gateway.registry.redis import RedisRegistry
from gateway.settings.values import Secret

Row = dict[str, Any]


async def workers(redis_url: Secret, prefix: str) -> list[Row]:
    """One row a living worker: who, where, what it does, and for how long its lease still runs."""
    async with _registry(redis_url, prefix) as registry:
        leases = await registry.look()
        rows = []
        for worker, (end_ms, info) in sorted(leases.workers.items()):
            if worker in leases.fenced:
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
    redis_url: Secret, prefix: str, *, worker: str | None = None, user: str | None = None
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
                "since": _second(entry.since_unix_ms),
            }
            for connection, entry in items
        ]


async def particulars(
    redis_url: Secret, prefix: str, lease_s: float, connection: str
) -> tuple[Receipt, Row | None]:
    """What the owner of one connection says of it; None if the receipt is not WRITTEN."""
    async with client_at(redis_url, prefix=prefix, lease_s=lease_s) as asking:
        told = await inquire(asking, connection)
    known = told.particulars
    if known is None:
        return Receipt(told.receipt), None
    now_unix_ms = time.time() * 1000
    return Receipt(told.receipt), {
        "connection": connection,
        "worker": owner_of(connection),
        "user": known.user,
        "address": known.address,
        "user_agent": known.user_agent,
        "since": _second(known.connected_unix_ms),
        "last_active": _second(known.last_active_unix_ms),
        "idle_s": round(max(0.0, now_unix_ms - known.last_active_unix_ms) / 1000, 1),
        "received": known.received,
        "sent": known.sent,
        "unanswered": known.unanswered,
        "waiting_bytes": known.waiting_bytes,
        "handled_by": known.handled_by,
        "ping_age_s": (
            None if known.ping_unanswered_ms is None else round(known.ping_unanswered_ms / 1000, 1)
        ),
        "channels": known.channels,
    }


def _second(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="seconds")


@asynccontextmanager
async def _registry(redis_url: Secret, prefix: str) -> AsyncIterator[RedisRegistry]:
    address = parse(redis_url)
    registry = RedisRegistry(address, prefix=prefix, name="gateway.tool")
    try:
        yield registry
    except BrokerRefused:
        raise
    except BrokerUnavailable as error:  # of a library, in its words
        why = await asyncio.to_thread(why_not, address, prefix, deadline_s=REDIS_DEADLINE_S)
        raise BrokerUnavailable(why or str(error)) from error
    finally:
        await registry.aclose()
