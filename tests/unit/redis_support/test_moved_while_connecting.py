"""A connection that is being made to a primary of before, which answers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.pool import pooled
from gateway.redis_support.sentinel_answers import Answer
from gateway.redis_support.url import parse
from tests.support.waiting import eventually
from tests.unit.redis_support.test_sentinels import NEW, FakeSentinel

LONG_S = 60.0


class Frozen:
    """Takes connections and says nothing, as a host that is gone."""

    def __init__(self) -> None:
        self.taken: list[asyncio.StreamWriter] = []

    async def take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken.append(writer)


@pytest.fixture
async def frozen() -> AsyncIterator[tuple[Frozen, int]]:
    primary = Frozen()
    server = await asyncio.start_server(primary.take, "127.0.0.1", 0)
    yield primary, server.sockets[0].getsockname()[1]
    for writer in primary.taken:
        writer.transport.abort()
    server.close()


async def by_itself(address: RedisAddress) -> None:
    with pytest.raises(BrokerUnavailable, match=r"which is 127\.0\.0\.1:\d+ no more"):
        await RedisConnection.connect(address, deadline_s=LONG_S, name="test")


async def of_a_pool(address: RedisAddress) -> None:
    async with pooled(address, name="test", deadline_s=LONG_S, connections=1) as redis:
        with pytest.raises(RedisConnectionError, match="another node is the primary by now"):
            await redis.ping()


@pytest.mark.parametrize("connect", [by_itself, of_a_pool])
async def test_it_is_given_up_as_soon_as_another_is_known(
    connect: Callable[[RedisAddress], Awaitable[None]], frozen: tuple[Frozen, int]
) -> None:
    """Red when it waits for its own deadline: of a host that was lost, for 3 s more than needed."""
    primary, port = frozen
    async with FakeSentinel() as sentinel:
        sentinel.says = Answer(("127.0.0.1", port), 1)
        address = parse("redis+sentinel://{}:{}/main".format(*sentinel.host))
        assert address.sentinels is not None
        connecting = asyncio.ensure_future(connect(address))
        await eventually(lambda: primary.taken, "the connection")
        sentinel.says = Answer(NEW, 2)
        await address.sentinels.refresh()

        await asyncio.wait_for(connecting, 5.0)
        await address.sentinels.aclose()
