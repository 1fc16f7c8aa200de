"""Locators of a Cluster: what they say, whom they tell, and what they doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.redis_support.locators import OneMaster, SlotMaster
from gateway.redis_support.slots import SLOTS
from tests.support.waiting import eventually
from tests.unit.redis_support.cluster_world import HALF, A, B, C, World, sight


@pytest.fixture
async def world() -> World:
    made = World()
    await made.believe(sight(A, B))
    return made


async def test_who_asks_for_one_slot_is_told_when_it_has_moved(world: World) -> None:
    told: list[str] = []
    here = SlotMaster(world, 0, lambda: told.append("first"))
    SlotMaster(world, SLOTS - 1, lambda: told.append("last"))
    world.all_say(sight(C, B, epoch=2))

    world.time += 10
    assert await here.locate() == C

    assert told == ["first"]
    assert here.primary == C


async def test_a_slot_that_nobody_had_meanwhile_has_moved(world: World) -> None:
    """Red when only what was true a moment ago is compared: connections to the master of before
    stayed, and it may go on serving.
    """
    told: list[str] = []
    SlotMaster(world, 0, lambda: told.append("moved"))
    nobody = replace(sight(A, B, epoch=2), owners=(*(None,) * HALF, *(B,) * HALF))
    await world.believe(nobody)
    assert not told

    await world.believe(sight(C, B, epoch=3))
    assert told == ["moved"]
    await world.believe(replace(nobody, epoch=4))
    await world.believe(sight(C, B, epoch=5))
    assert told == ["moved"]


async def test_who_cannot_connect_to_a_master_doubts_the_map(world: World) -> None:
    one = OneMaster(world, A)
    assert await one.locate() == A
    world.asked.clear()

    assert await one.locate() == A

    await eventually(lambda: world.asked, "a question")
    await world.aclose()
