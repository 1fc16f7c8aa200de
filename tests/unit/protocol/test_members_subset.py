"""To whom of the living a worker takes messages: who counts, and when connections choose anew."""

from __future__ import annotations

from dataclasses import replace

from gateway.protocol.ids import WorkerId
from gateway.protocol.members import Leases, Members, WorkerInfo
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


def test_an_edge_that_handles_takes_itself_and_those_that_follow() -> None:
    me, others = fleet(20)
    it = members(me, dict.fromkeys(others, BOTH))

    assert it.targets == it.hook_targets == (me, *others[: SIZE - 1])
    assert it.handlers == (me, *others)  # what the application has is asked of all


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


def test_when_all_leave_they_are_targets_to_the_end() -> None:
    me, others = fleet(20)
    it = members(me, dict.fromkeys(others, BOTH))
    it.say(replace(BOTH, leaving=True))
    for worker in others:
        it.leaving(worker, now=102.0)

    assert it.targets == (me, *others)  # no edge stays that would take a part


def test_who_leaves_takes_those_of_the_edge_that_follows_it() -> None:
    me, others = fleet(20)
    it = members(me, dict.fromkeys(others, BOTH))
    it.say(replace(BOTH, leaving=True))

    assert it.targets == tuple(others[:SIZE])


def test_hooks_are_asked_of_a_subset_of_those_who_have_some() -> None:
    """An upgrade brings them to a few: they need not be among the others."""
    me, others = fleet(20)
    infos = dict.fromkeys(others, replace(BOTH, hooks=()))
    it = Members(me, replace(BOTH, hooks=()), lease_s=10.0, now=100.0, handler_subset=SIZE)
    look(it, infos | {others[15]: BOTH}, 101.0)
    before = it.generation
    assert it.targets == (me, *others[: SIZE - 1])
    assert it.hook_targets == (others[15],)

    look(it, infos | dict.fromkeys(others[7:], BOTH), 102.0)
    assert it.targets == (me, *others[: SIZE - 1])
    assert it.hook_targets == tuple(others[7 : 7 + len(it.hook_targets)])
    assert SIZE <= len(it.hook_targets) < 12
    assert it.generation == before + 1


def test_the_dead_host_of_a_fleet_takes_no_whole_subset() -> None:
    """Red where the hosts of workers are not looked at."""
    me, others = fleet(20)
    infos = {worker: replace(BOTH, host="a") for worker in others[:10]}
    infos |= {worker: replace(BOTH, host="b") for worker in others[10:]}
    it = Members(me, replace(BOTH, host="a"), lease_s=10.0, now=100.0, handler_subset=SIZE)
    look(it, infos, 101.0)

    assert it.targets == (me, *others[: SIZE - 2], others[10])


def test_where_none_of_its_own_is_reached_others_are_asked() -> None:
    """Red when an edge goes on with those it does not reach: all its messages waited, beside others
    that were there.
    """
    me, others = fleet(20)
    it = Members(me, EDGE, lease_s=10.0, now=100.0, handler_subset=SIZE)
    look(it, dict.fromkeys(others, BOTH), 101.0)
    own = it.targets
    assert len(own) < len(others)

    assert it.avoid(frozenset(own))
    assert it.targets
    assert not {*it.targets} & {*own}
    assert it.targets == it.hook_targets
    assert it.avoid(frozenset(others))
    assert it.targets == own


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
