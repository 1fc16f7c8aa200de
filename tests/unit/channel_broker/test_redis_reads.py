"""How many reads of ``RedisChannelBroker`` are under way at once: a connection does not answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from gateway.channel_broker.base import HistoryOptions, Page
from gateway.channel_broker.redis import MAX_READS, RedisChannelBroker
from gateway.redis_support.url import parse
from tests.support.waiting import eventually

KEPT = HistoryOptions(10, 60, 60)
EMPTY = [b"epoch", 0, [], 0]


class Connection:
    endpoint = None

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[list[Any]]] = []

    def execute(self, commands: object) -> asyncio.Future[list[Any]]:
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        return answer


class World:
    def __init__(self) -> None:
        self.connection = Connection()
        self.broker = RedisChannelBroker(parse("redis://nowhere"), prefix="p")
        self.broker._publishing = SimpleNamespace(connection=self.connection)  # type: ignore[assignment]

    def page(self, *, limit: int = 10) -> asyncio.Task[Page]:
        return asyncio.create_task(self.broker.page("a", KEPT, limit=limit))

    async def asked(self, count: int) -> None:
        await eventually(lambda: len(self.connection.asked) == count, f"{count} reads")


async def test_so_many_reads_are_under_way_and_no_more() -> None:
    world = World()
    pages = [world.page() for _ in range(MAX_READS + 2)]
    await world.asked(MAX_READS)
    top = world.page(limit=0)  # brings no publications, and overtakes them
    await world.asked(MAX_READS + 1)
    assert len(world.connection.asked) == MAX_READS + 1

    for number in range(len(pages) + 1):
        await eventually(lambda: len(world.connection.asked) > number, "the next read")  # noqa: B023
        world.connection.asked[number].set_result([EMPTY])
    assert {page.top.epoch for page in await asyncio.gather(*pages, top)} == {"epoch"}


async def test_a_read_that_nobody_waits_for_any_more_is_under_way_until_it_is_answered() -> None:
    world = World()
    pages = [world.page() for _ in range(MAX_READS)]
    await world.asked(MAX_READS)
    for page in pages:
        page.cancel()
    await asyncio.wait(pages)
    late = world.page()
    other = world.page(limit=0)
    await world.asked(MAX_READS + 1)
    assert len(world.connection.asked) == MAX_READS + 1

    for answer in world.connection.asked:
        answer.set_result([EMPTY])
    await other
    await world.asked(MAX_READS + 2)
    world.connection.asked[-1].set_result([EMPTY])
    assert (await late).top.epoch == "epoch"
