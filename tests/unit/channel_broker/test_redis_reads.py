"""Reads of ``RedisChannelBroker``: how many are under way at once, and what the server is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.channel_broker.base import HistoryOptions, Page, Publishing
from gateway.channel_broker.redis import MAX_READS, RedisChannelBroker
from gateway.errors import BrokerUnavailable
from gateway.protocol.channel_position import Position
from gateway.redis_support.url import parse
from gateway.redis_support.writing import Command
from tests.support.waiting import eventually

KEPT = HistoryOptions(10, 60, 60)
EMPTY = [b"epoch", 0, [], 0]


class Connection:
    endpoint = None

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[list[Any]]] = []
        self.commands: list[Command] = []

    def execute(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.commands.extend(commands)
        self.asked.append(answer)
        return answer


class Histories:
    """A connection for them that is made within one turn, to the server with this run id."""

    def __init__(self, connection: Connection, run_id: str = "") -> None:
        self.connection = connection
        self.run_id = run_id

    async def to(self, run_id: str) -> Connection:
        await asyncio.sleep(0)
        if run_id != self.run_id:
            raise BrokerUnavailable("another server")
        return self.connection


class World:
    """A broker whose reads all go over one connection."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.broker = RedisChannelBroker(parse("redis://nowhere"), prefix="p")
        self.broker._publishing = SimpleNamespace(connection=self.connection)  # type: ignore[assignment]
        self.histories = Histories(self.connection)
        self.broker._histories = self.histories  # type: ignore[assignment]

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


async def test_a_publication_is_answered_before_a_history() -> None:
    """Red when both go over one connection, whose replies come in order: one after 20 MB."""
    world = World()
    world.histories.connection = bringing = Connection()
    page = world.page()
    await eventually(lambda: len(bringing.asked) == 1, "the read")
    stored = world.broker.publish(Publishing("a", b"1", KEPT))
    await world.asked(1)
    world.connection.asked[0].set_result([[b"epoch", 1, 0, 0]])
    assert (await stored).position == Position("epoch", 1)
    top = world.page(limit=0)
    await world.asked(2)
    world.connection.asked[1].set_result([EMPTY])
    assert (await top).top.epoch == "epoch"
    assert not page.done()
    bringing.asked[0].set_result([EMPTY])
    assert (await page).top.epoch == "epoch"


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


async def test_a_read_that_waits_for_room_is_not_begun_for_nobody() -> None:
    world = World()
    pages = [world.page() for _ in range(MAX_READS)]
    await world.asked(MAX_READS)
    gone = [world.page() for _ in range(3)]
    await asyncio.sleep(0)
    late = world.page()
    await asyncio.sleep(0)
    for page in gone:
        page.cancel()
    await asyncio.wait(gone)
    for answer in world.connection.asked:
        answer.set_result([EMPTY])
    await asyncio.gather(*pages)
    await world.asked(MAX_READS + 1)
    world.connection.asked[-1].set_result([EMPTY])
    assert (await late).top.epoch == "epoch"
    assert len(world.connection.asked) == MAX_READS + 1


@pytest.mark.parametrize("turns", range(6))
async def test_a_server_is_told_its_own_run_id_however_late_it_took_over(turns: int) -> None:
    """With that of the one before it would begin another epoch, and once more at the next read."""
    world = World()
    world.broker._scripts.server = "before"
    page = world.page(limit=0)
    for _ in range(turns):
        await asyncio.sleep(0)

    world.broker._scripts.server = "after"
    before, after = world.connection, Connection()
    world.broker._publishing.connection = after  # type: ignore[assignment]
    await eventually(lambda: len(before.asked) + len(after.asked) == 1, "the read")
    for connection, server in ((before, "before"), (after, "after")):
        assert all(command[-1] == server for command in connection.commands)
    for answer in (*before.asked, *after.asked):
        answer.set_result([EMPTY])
    assert (await page).top.epoch == "epoch"


@pytest.mark.parametrize("turns", range(6))
async def test_a_history_comes_from_the_server_that_publishes_or_not_at_all(turns: int) -> None:
    """A script at another server than it is told of begins another epoch for everybody."""
    world, before = World(), Connection()
    world.broker.run_id = world.broker._scripts.server = "before"
    world.histories.connection, world.histories.run_id = before, "before"
    page = world.page()
    for _ in range(turns):
        await asyncio.sleep(0)

    world.broker.run_id = world.broker._scripts.server = "after"
    await eventually(lambda: bool(before.asked) or page.done(), "the read")
    assert all(command[-1] == "before" for command in before.commands)
    assert not world.connection.asked
    for answer in before.asked:
        answer.set_result([EMPTY])
    if before.asked:
        assert (await page).top.epoch == "epoch"
    else:
        with pytest.raises(BrokerUnavailable, match="another server"):
            await page
