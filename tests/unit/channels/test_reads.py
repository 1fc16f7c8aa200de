"""``Reads``: so many at once at one place, and none that waits for another place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.channel_broker.base import HistoryOptions
from gateway.channel_broker.memory import MemoryChannelBroker
from gateway.channels.local_channel import LocalChannel
from gateway.channels.reads import AT_ONCE, Reads
from gateway.errors import BrokerUnavailable
from gateway.protocol.channel_steps import Read
from gateway.protocol.recovery import History

KEPT = HistoryOptions(10, 60, 60)


class Broker(MemoryChannelBroker):
    """A channel is read at the place that its name begins with, once that answers."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, str] = {}
        self.asked: list[str] = []
        self.answers: dict[str, asyncio.Event] = {}

    def read_at(self, channel: str) -> Any:
        return self.places.get(channel, channel.partition(":")[0])

    async def read(self, channel: str, after: int | None, history: HistoryOptions) -> History:
        self.asked.append(channel)
        await self.answers.setdefault(self.read_at(channel), asyncio.Event()).wait()
        raise BrokerUnavailable("away")


class World:
    def __init__(self) -> None:
        self.broker = Broker()
        self.done: list[str] = []
        self.reads = Reads(self.broker, lambda local, *_: self.done.append(local.name))
        self.channels: dict[str, LocalChannel] = {}

    async def begin(self, *names: str, waiting: bool = False) -> None:
        for name in names:
            local = self.channels.setdefault(name, LocalChannel(name, KEPT, now=0.0))
            local.machine = SimpleNamespace(waiting=waiting)  # type: ignore[assignment]
            self.reads.begin(local, Read(1, None))
        await self.turns()

    async def answer(self, place: str) -> None:
        self.broker.answers.setdefault(place, asyncio.Event()).set()
        await self.turns()

    async def turns(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.reads.aclose()


def rooms(place: str, count: int) -> list[str]:
    return [f"{place}:{number}" for number in range(count)]


async def test_so_many_are_under_way_at_each_place_and_no_more(world: World) -> None:
    """Red when there is one bound for all: a place that does not answer held up every other."""
    away, here = rooms("away", AT_ONCE + 5), rooms("here", AT_ONCE + 1)
    await world.begin(*away)
    assert world.broker.asked == away[:AT_ONCE]

    await world.begin(*here)
    assert world.broker.asked[AT_ONCE:] == here[:AT_ONCE]
    await world.answer("here")
    assert world.done == here
    assert world.broker.asked[2 * AT_ONCE :] == here[AT_ONCE:]

    await world.answer("away")
    assert world.done[len(here) :] == away
    assert not world.reads._lanes
    assert not world.reads._queued


async def test_those_that_are_waited_for_come_first_and_each_channel_once(world: World) -> None:
    await world.begin(*rooms("here", AT_ONCE), "here:looked", "here:again")
    await world.begin("here:urgent", waiting=True)
    await world.begin("here:again", waiting=True)
    await world.begin("here:again")  # stays urgent: somebody waited
    await world.answer("here")

    assert world.broker.asked[AT_ONCE:] == ["here:urgent", "here:again", "here:looked"]


async def test_a_channel_that_has_moved_is_read_where_it_is_now(world: World) -> None:
    """Red when it waits behind those of the place of before as well."""
    await world.begin(*rooms("away", AT_ONCE), "away:moved")
    world.broker.places["away:moved"] = "here"
    await world.begin("away:moved")
    await world.answer("here")
    assert world.done == ["away:moved"]

    await world.answer("away")
    assert world.done[1:] == rooms("away", AT_ONCE)
