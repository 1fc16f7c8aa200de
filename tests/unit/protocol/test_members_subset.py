"""To whom a worker takes messages as others come and go: when connections choose anew."""

from __future__ import annotations

from dataclasses import replace

from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.members import Members
from tests.support.ids import new_worker_id

BOTH = WorkerInfo(edge=True, handler=True, hooks=(("rpc", "*"),))
EDGE = WorkerInfo(edge=True, handler=False)
SIZE = 4


def members(me: WorkerId, others: dict[WorkerId, WorkerInfo], size: int = SIZE) -> Members:
    it = Members(me, BOTH, lease_s=10.0, now=100.0, handler_subset=size)
    look(it, others, 101.0)
    return it


def look(it: Members, others: dict[WorkerId, WorkerInfo], at: float) -> None:
    now_ms = round(at * 1000)
    workers = {worker: (now_ms + 9_000, info) for worker, info in others.items()}
    it.renewed(Leases(now_ms, workers, ()), asked_at=at, now=at)


def fleet(count: int) -> tuple[WorkerId, list[WorkerId]]:
    """The first, and the others in order."""
    me, *others = sorted(new_worker_id() for _ in range(count))
    return me, others


def test_connections_choose_anew_only_when_the_targets_have_changed() -> None:
    """Red where each change of the set costs every connection of every edge a choice."""
    me, others = fleet(20)
    it = members(me, dict.fromkeys(others, BOTH))
    targets, generation = it.targets, it.generation

    assert it.leaving(others[10], now=102.0)
    assert it.gone(others[10], now=103.0)
    assert it.targets is targets
    assert it.generation == generation

    assert it.leaving(others[0], now=104.0)
    assert it.targets == (me, *others[1:SIZE])
    assert it.generation == generation + 1
    assert it.gone(others[0], now=105.0)
    assert it.generation == generation + 1


def test_who_is_fenced_or_gone_gives_its_place_to_the_next() -> None:
    me, others = fleet(20)
    it = members(me, dict.fromkeys(others, BOTH))
    now_ms = 102_000
    workers = dict.fromkeys(others, (now_ms + 9000, BOTH))
    changes = it.renewed(Leases(now_ms, workers, {others[1]}), asked_at=102.0, now=102.0)

    assert changes.changed
    assert it.targets == (me, others[0], *others[2:SIZE])


def test_who_is_not_reached_is_asked_for_nothing_as_long_as_there_are_others() -> None:
    me, others = fleet(3)
    it = members(me, dict.fromkeys(others, BOTH))
    generation = it.generation

    assert it.avoid(frozenset(others[:1]))
    assert it.targets == it.hook_targets == (me, others[1])
    assert it.handlers == (me, *others)
    assert it.generation == generation + 1
    assert not it.avoid(frozenset(others[:1]))
    assert it.avoid(frozenset((me, *others)))
    assert it.targets == (me, *others)
    assert it.avoid(frozenset())
    assert it.targets == (me, *others)


def test_a_change_of_who_has_hooks_alone_is_a_new_generation() -> None:
    me, others = fleet(2)
    it = members(me, dict.fromkeys(others, replace(BOTH, hooks=None)))
    before = it.generation
    look(it, dict.fromkeys(others, BOTH), 102.0)

    assert it.generation == before + 1


def test_it_leaves_as_one_that_others_see_leave() -> None:
    me, others = fleet(20)
    it = members(me, dict.fromkeys(others, BOTH))
    it.say(replace(BOTH, leaving=True))

    assert it.targets == tuple(others[:SIZE])
