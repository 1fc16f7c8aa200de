"""``Masters``: one part for each master, for as long as it has slots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.redis_support.address import RedisAddress
from gateway.redis_support.cluster import Moved
from gateway.redis_support.masters import Masters
from gateway.redis_support.slots import SLOTS, Sight
from gateway.redis_support.stream import Endpoint
from tests.support.waiting import eventually
from tests.unit.redis_support.cluster_world import HALF, A, B, C, World, in_half, sight

HERE, THERE = in_half(0)[0], in_half(1)[0]


class Part:
    """One that runs until it is cancelled, or fails."""

    def __init__(self, master: Endpoint) -> None:
        self.master = master
        self.running = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        self.running += 1
        try:
            await asyncio.shield(self.failed)
        finally:
            self.running -= 1


class Parts:
    """Masters of a made-up Cluster, and what was told of their changes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.made: list[Part] = []
        self.told: list[tuple[Moved, list[Endpoint], list[Endpoint]]] = []
        self.masters = Masters(world.address(), self.make, Part.run)
        self.masters.changed = self.changed

    def make(self, address: RedisAddress) -> Part:
        assert address.locator is not None
        assert address.locator.primary is not None
        self.made.append(Part(address.locator.primary))
        return self.made[-1]

    def changed(self, moved: Moved) -> None:
        self.told.append((
            moved,
            sorted(part.master for part in self.masters),
            sorted(part.master for part in self.masters.everyone),
        ))  # fmt: skip

    @property
    def running(self) -> list[Endpoint]:
        return sorted(part.master for part in self.made if part.running)


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    world = World()
    await world.believe(sight(A, B))
    yield Parts(world)
    await world.aclose()


@pytest.fixture
async def running(parts: Parts) -> AsyncIterator[Parts]:
    task = asyncio.create_task(parts.masters.run())
    await eventually(lambda: parts.running == [A, B], "a part for each master")
    yield parts
    task.cancel()
    await asyncio.wait({task})


async def test_each_master_has_a_part_and_keys_have_that_of_their_owner(running: Parts) -> None:
    first, second = running.masters.of(HERE), running.masters.of(THERE)

    assert first is not None
    assert second is not None
    assert (first.master, second.master) == (A, B)
    assert running.masters.of_slot(0) is first
    assert running.masters.at(B) is second
    assert running.masters.at(C) is None
    assert set(running.masters) == {first, second}


async def test_at_the_beginning_every_slot_has_another_part(running: Parts) -> None:
    [(moved, *_)] = running.told

    assert moved.keys() == set(range(SLOTS))


async def test_what_a_master_had_can_be_taken_before_its_part_ends(running: Parts) -> None:
    """The next one is there by then. Red when it is told before, or after."""
    old = running.masters.at(A)
    running.told.clear()

    await running.world.believe(sight(C, B, epoch=2))

    assert running.told == [(dict.fromkeys(range(HALF), A), [B, C], [A, B, C])]
    await eventually(lambda: running.running == [B, C], "the end of the first")
    assert running.masters.at(A) is None
    assert old not in running.masters.everyone
    assert [part.master for part in running.made].count(B) == 1


async def test_a_slot_that_goes_to_a_known_master_makes_and_ends_nothing(running: Parts) -> None:
    running.told.clear()

    running.world.redirected("MOVED 0 b:2", A)
    await asyncio.sleep(0)

    assert running.told == [({0: A}, [A, B], [A, B])]
    assert len(running.made) == 2
    assert running.running == [A, B]


async def test_a_master_that_comes_back_has_another_part(running: Parts) -> None:
    await running.world.believe(sight(C, B, epoch=2))
    await running.world.believe(sight(A, B, epoch=3))

    await eventually(lambda: running.running == [A, B], "the parts of now")
    assert [part.master for part in running.made].count(A) == 2


async def test_a_slot_that_nobody_has_has_no_part(running: Parts) -> None:
    nobody = (*(None,) * HALF, *(B,) * HALF)

    await running.world.believe(Sight(nobody, frozenset({A, B}), 2, well=False))

    assert running.masters.of(HERE) is None
    assert running.masters.of(THERE) is not None


async def test_who_fails_ends_all_of_them(parts: Parts) -> None:
    task = asyncio.create_task(parts.masters.run())
    await eventually(lambda: parts.running == [A, B], "a part for each master")

    parts.made[0].failed.set_exception(RuntimeError("a bug"))

    with pytest.raises(RuntimeError, match="a bug"):
        await task
    assert parts.running == []


async def test_nothing_runs_after_the_end_and_the_map_is_not_listened_to(parts: Parts) -> None:
    """The parts stay, for what is still asked of them; another run goes on with them."""
    for _ in range(2):
        task = asyncio.create_task(parts.masters.run())
        await eventually(lambda: parts.running == [A, B], "a part for each master")
        task.cancel()
        await asyncio.wait({task})
        assert parts.running == []
    parts.told.clear()

    await parts.world.believe(sight(C, B, epoch=2))

    assert parts.told == []
    assert len(parts.made) == 2
