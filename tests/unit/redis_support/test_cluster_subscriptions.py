"""``ClusterSubscriptions``: each channel at the owner of its slot, wherever that goes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support import subscriptions
from gateway.redis_support.cluster_subscriptions import ClusterSubscriptions
from gateway.redis_support.slots import SLOTS, Sight, slot_of
from tests.support.waiting import eventually
from tests.unit.redis_support.cluster_world import A, B, C, Masters, World, in_half, sight

[HERE] = in_half(0)
[THERE] = in_half(1)


class Running:
    """Subscriptions on a made-up Cluster of two masters, and what they handed out."""

    def __init__(self, world: World, masters: Masters) -> None:
        self.world, self.masters = world, masters
        self.subscriptions = ClusterSubscriptions(world.address(), name="test")
        self.got: list[tuple[str, bytes]] = []
        self.resyncs: list[list[str]] = []

    async def run(self) -> None:
        await self.subscriptions.run(self.got.extend, lambda names, _: self.resyncs.append(names))

    async def subscribe(self, *channels: bytes) -> None:
        asked = [self.subscriptions.add(channel, channel.decode()) for channel in channels]
        async with asyncio.timeout(5):
            await asyncio.gather(*asked)


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    world = World()
    masters = Masters(world)
    monkeypatch.setattr(subscriptions, "RedisConnection", masters)
    await world.believe(sight(A, B))
    made = Running(world, masters)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.wait({task})
    await world.aclose()


async def test_each_channel_is_subscribed_at_the_owner_of_its_slot(running: Running) -> None:
    await running.subscribe(HERE, THERE)

    assert running.masters.subscribed(A) == {HERE}
    assert running.masters.subscribed(B) == {THERE}
    running.masters.connections[B].hears([b"smessage", THERE, b"hi"])
    assert running.got == [(THERE.decode(), b"hi")]


async def test_a_slot_that_moves_takes_its_channels_along_and_no_others(running: Running) -> None:
    """They alone are in a resync. Red when a move drops the connection."""
    other, *_ = (name for name in in_half(0, 9) if slot_of(name) != slot_of(HERE))
    await running.subscribe(HERE, other, THERE)
    running.masters.said.clear()
    owners = list(sight(A, B).owners)
    owners[slot_of(HERE)] = B

    await running.world.believe(Sight(tuple(owners), frozenset({A, B}), 2, well=True))
    await eventually(lambda: running.resyncs, "a resync")

    assert running.resyncs == [[HERE.decode()]]
    assert running.masters.said == [(A, ("SUNSUBSCRIBE", HERE)), (B, ("SSUBSCRIBE", HERE))]


async def test_a_slot_that_moves_costs_what_moves_with_it(running: Running) -> None:
    """Not what all channels of a worker cost. Red when all of them are looked at."""
    await running.subscribe(*in_half(0, 5000))
    calls = 0

    def count(_frame: Any, event: str, _what: Any) -> None:
        nonlocal calls
        calls += event == "call"

    running.world.all_say(sight(B, A))
    running.world.redirected(f"MOVED {slot_of(HERE)} b:2", A)
    sys.setprofile(count)
    try:
        running.world._follow_redirections()
    finally:
        sys.setprofile(None)

    assert running.subscriptions._homes[HERE] is running.subscriptions._masters.of(HERE)
    assert calls < 100


async def test_who_subscribes_while_nobody_has_the_slot_waits_for_its_next_owner(
    running: Running,
) -> None:
    nobody = (*(None,) * (SLOTS // 2), *(B,) * (SLOTS // 2))
    await running.world.believe(Sight(nobody, frozenset({A, B}), 2, well=False))
    subscribed = running.subscriptions.add(HERE, "here")
    left = running.subscriptions.add(in_half(0, 2)[1], "left")
    running.subscriptions.remove(in_half(0, 2)[1])
    with pytest.raises(BrokerUnavailable, match="unsubscribed meanwhile"):
        await left
    with pytest.raises(BrokerUnavailable, match="no subscriptions"):
        await running.subscriptions.settle(HERE)

    await running.world.believe(sight(C, B, epoch=3))

    async with asyncio.timeout(5):
        await subscribed
    assert running.masters.subscribed(C) == {HERE}
    assert running.resyncs == []  # it never was subscribed


async def test_who_was_subscribed_is_in_a_resync_once_its_slot_has_an_owner_again(
    running: Running,
) -> None:
    await running.subscribe(HERE)
    nobody = (*(None,) * (SLOTS // 2), *(B,) * (SLOTS // 2))
    await running.world.believe(Sight(nobody, frozenset({A, B}), 2, well=False))

    await running.world.believe(sight(C, B, epoch=3))

    await eventually(lambda: running.resyncs, "a resync")
    assert running.resyncs == [[HERE.decode()]]


async def test_a_master_that_is_away_holds_up_its_own_alone(running: Running) -> None:
    running.masters.away.add(A)
    await running.world.believe(sight(C, B, epoch=2))
    await running.world.believe(sight(A, B, epoch=3))
    waiting = running.subscriptions.add(HERE, "here")

    await running.subscribe(THERE)

    assert not waiting.done()
    running.masters.away.clear()
    async with asyncio.timeout(5):
        await waiting


async def test_what_a_connection_was_sent_is_settled_by_itself(running: Running) -> None:
    await running.subscribe(HERE, THERE)
    running.masters.said.clear()

    await running.subscriptions.settle(THERE)
    assert running.masters.said == [(B, ("PING", b"settled"))]

    await running.subscriptions.settle_all()
    assert {endpoint for endpoint, _ in running.masters.said[1:]} == {A, B}


async def test_all_that_are_dropped_are_made_anew(running: Running) -> None:
    await running.subscribe(HERE, THERE)

    running.subscriptions.drop()

    await eventually(lambda: len(running.resyncs) == 2, "both masters")
    assert sorted(running.resyncs) == sorted([[HERE.decode()], [THERE.decode()]])


async def test_a_channel_that_is_given_up_is_forgotten(running: Running) -> None:
    await running.subscribe(HERE)

    running.subscriptions.remove(HERE)
    running.subscriptions.remove(HERE)

    await eventually(lambda: not running.masters.subscribed(A), "a SUNSUBSCRIBE")
    assert running.subscriptions._in_slot == {}
