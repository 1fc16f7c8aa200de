"""The map of a Cluster: whom it believes, and what its listeners are told."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support.cluster import (
    ASK_INTERVAL_S,
    ASK_PAUSE_S,
    MAX_OLDER,
    TOLD_S,
    Moved,
)
from gateway.redis_support.slots import SLOTS, Sight
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from tests.unit.redis_support.cluster_world import A, B, C, sight
from tests.unit.redis_support.cluster_world import World as MadeUp


class World(MadeUp):
    """One that keeps what its listeners are told."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[Moved] = []
        self.when_changed(self.changes.append)


@pytest.fixture
async def world() -> World:
    made = World()
    made.all_say(sight(A, B))
    await made.refresh()
    return made


async def test_who_has_a_slot_is_asked_of_a_seed_first(world: World) -> None:
    assert world.asked == [A]
    assert (world.owner(0), world.owner(SLOTS - 1)) == (A, B)
    assert world.masters == {A, B}
    assert len(world.changes) == 1


async def test_questions_at_the_same_time_are_one(world: World) -> None:
    world.asked.clear()

    await asyncio.gather(*[world.refresh() for _ in range(10)])

    assert len(world.asked) == 3


async def test_a_master_that_is_known_is_believed_at_once(world: World) -> None:
    world.redirected("MOVED 0 b:2", A)
    await asyncio.sleep(0)

    assert world.owner(0) == B
    assert world.owner(1) == A
    assert world.changes[1:] == [{0: A}]


async def test_what_one_read_brings_is_told_once(world: World) -> None:
    """Red when each redirection is told by itself."""
    for slot in range(1000):
        world.redirected(f"MOVED {slot} b:2", A)
    await asyncio.sleep(0)

    assert world.changes[1:] == [dict.fromkeys(range(1000), A)]


async def test_a_master_whose_last_slot_was_redirected_is_none_any_more(world: World) -> None:
    """Red when the masters are compared by the owners of slots alone."""
    for slot in range(SLOTS):
        world.redirected(f"MOVED {slot} b:2", A)
    await asyncio.sleep(0)
    world.all_say(sight(B, B, epoch=2))

    await world.refresh()

    assert world.masters == {B}
    assert world.changes[-1] == {}


async def test_another_master_is_asked_about_before_it_is_believed(world: World) -> None:
    """Whom it replaced must be known as well, or both would count as masters.

    Red when every redirection is believed.
    """
    world.all_say(sight(C, B, epoch=2))

    world.redirected("MOVED 0 c:3", B)
    assert world.owner(0) == A

    await eventually(lambda: world.owner(0) == C, "the map to be asked for")
    assert world.masters == {C, B}


async def test_a_redirection_outlives_what_others_have_not_heard_of(world: World) -> None:
    world.redirected("MOVED 0 b:2", A)
    await world.refresh()
    assert world.owner(0) == B

    world.time += TOLD_S
    await world.refresh()

    assert world.owner(0) == A


async def test_a_refusal_for_a_moment_changes_nothing(world: World) -> None:
    world.redirected("TRYAGAIN later", A)
    world.redirected("ASK 0 b:2", A)

    assert world.owner(0) == A
    assert len(world.changes) == 1


async def test_an_older_configuration_is_not_believed_at_once(world: World) -> None:
    world.all_say(sight(B, A, epoch=5))
    await world.refresh()
    world.all_say(sight(A, B, epoch=4))

    for _ in range(MAX_OLDER):
        await world.refresh()
        assert world.owner(0) == B
    await world.refresh()

    assert world.owner(0) == A  # it was set up anew


async def test_a_master_that_stays_away_is_asked_about_less_and_less(world: World) -> None:
    """Red when each failed attempt leads to a question: with one master away each worker asked ten
    times a second, as long as it was.
    """

    async def pause_s() -> float:
        """From the last question to the next, with failures all the time."""
        world.doubt()
        assert world._soon is not None
        pause_s, world.time = world._soon_at - world._asked_at, world._soon_at
        await world._soon
        return pause_s

    world.time += 10
    await world.refresh()
    began, pauses = world.time, list[float]()
    while world.time < began + 120:
        pauses.append(await pause_s())
    in_a_failover = [pause for pause in pauses if pause <= 2 * ASK_PAUSE_S]
    assert sum(in_a_failover) >= 4
    assert len(pauses) <= 140
    assert pauses[-1] == pytest.approx(ASK_INTERVAL_S)

    world.doubt()
    world.redirected("MOVED 0 c:3", A)
    assert world._soon_at - world._asked_at == pytest.approx(ASK_PAUSE_S)
    world.all_say(sight(C, B, epoch=2))
    world.time = world._soon_at
    assert world._soon is not None
    await world._soon
    assert world.owner(0) == C
    world.doubt()
    assert world._soon_at - world._asked_at == pytest.approx(ASK_PAUSE_S)
    await world.aclose()


async def test_where_nobody_answers_the_map_stays(world: World) -> None:
    world.says.clear()

    with pytest.raises(BrokerUnavailable, match="no node of the Cluster"):
        await world.refresh()

    assert world.owner(0) == A
    assert world.silent


async def test_slots_that_nobody_has_are_counted_and_said_once(world: World) -> None:
    assert world.uncovered == 0
    half = SLOTS // 2
    with capture_logs() as logs:
        for epoch in (2, 3):
            owners = (*(None,) * (half - epoch), *(A,) * (half + epoch))
            world.all_say(Sight(owners, frozenset({A, B, C}), epoch, well=False))
            await world.refresh()
            assert world.uncovered == half - epoch
        world.all_say(sight(A, B, epoch=4))
        await world.refresh()

    assert world.uncovered == 0
    events = [line["event"] for line in logs if "master " in line["event"] or "slots" in line]
    assert events == ["slots without a master", "every slot has a master again"]


async def test_a_slot_that_nobody_has_is_no_place(world: World) -> None:
    world.all_say(Sight((None,) * SLOTS, frozenset({A}), 2, well=False))
    world.time += 10

    with pytest.raises(BrokerUnavailable, match="slot 5"):
        await world.locate(5)


async def test_those_who_watch_ask_no_more_often_than_one(world: World) -> None:
    world.time += 10
    world.asked.clear()

    watching = [asyncio.create_task(world.watch()) for _ in range(3)]
    await eventually(lambda: world.asked, "a question")
    for task in watching:
        task.cancel()
    await asyncio.wait(watching)

    assert len(world.asked) == 3  # nodes, by one of them


@pytest.mark.parametrize("doubted", [False, True])
@pytest.mark.parametrize("turns", range(6))
async def test_a_question_of_before_is_no_answer_to_a_doubt(
    turns: int, world: World, monkeypatch: pytest.MonkeyPatch, *, doubted: bool
) -> None:
    """Red when whoever doubts shares it: who took over was met only with the next round."""
    gate = asyncio.Event()
    put: list[Sight] = []

    async def ask(_: object) -> Sight:
        said = world.says[A]
        put.append(said)
        await gate.wait()
        return said

    monkeypatch.setattr(world.nodes, "ask", ask)
    world.time += 1.0
    asking = None if doubted else asyncio.create_task(world.refresh())
    if doubted:
        world.doubt()
    await eventually(lambda: put, "the question of before")
    world.time += 1.0
    world.all_say(sight(C, B, epoch=2))
    world.redirected("MOVED 0 c:3", B)
    for _ in range(turns):
        await asyncio.sleep(0)
    gate.set()

    await eventually(lambda: world.masters == {C, B}, "another question")
    assert len(put) == 2
    await asyncio.gather(*([asking] if asking else []))
    await world.aclose()
