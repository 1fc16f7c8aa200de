"""What one connection costs Redis, whatever its client says of itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway.cluster.registration import Registration
from gateway.redis_support.url import parse
from gateway.registry.base import Entry, bounded
from gateway.registry.redis import RedisRegistry
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

MOST_BYTES = 2048  # docs/reference/redis.md says so
COUNT = 2000


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("a" * 256, "a" * 256),
        ("a" * 257, "a" * 256),
        ("é" * 128, "é" * 128),
        ("a" + "é" * 128, "a" + "é" * 127),
        ("🙂" * 65, "🙂" * 64),
        ("\udcff", "?"),
    ],
    ids=ascii,
)
def test_a_user_agent_is_cut_at_256_bytes_and_between_characters(said: str, stored: str) -> None:
    assert bounded(Entry(None, "", said, "", 0)).user_agent == stored


async def test_a_connection_costs_redis_no_more_than_is_documented(own_redis: RedisServer) -> None:
    """Red when a User-Agent of 64 KB is stored as it is: 1,200 sockets took 60 MB."""
    registry = RedisRegistry(parse(own_redis.url), prefix="cost")
    registration = Registration(new_worker_id(), registry, may_write=lambda: True)
    written: list[None] = []
    huge = "é" * 32_000
    with own_redis.client() as admin:
        before = int(admin.info("memory")["used_memory_dataset"])
        for n in range(COUNT):
            entry = Entry(f"{n:0256}", huge, huge, huge, 1_700_000_000_000)
            connection = new_connection_id(registration._me)
            registration.put(connection, entry, lambda: written.append(None))
        task = asyncio.create_task(registration.run())
        await eventually(lambda: len(written) == COUNT, "the entries", 20)
        each = 0.0

        def as_documented() -> bool:
            nonlocal each
            each = (int(admin.info("memory")["used_memory_dataset"]) - before) / COUNT
            return 500 < each < MOST_BYTES

        await eventually(as_documented, "what is documented")
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await registry.aclose()

    print(f"{each:.0f} bytes a connection")
