"""Who handles, of the workers that one knows, and to which of them it takes messages and hooks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from gateway.protocol.handler_workers import HandlerWorkers, handler_workers
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from tests.support.ids import new_worker_id

ME, A, B, C = (WorkerId(letter * 16) for letter in "mabc")
BOTH = WorkerInfo(edge=True, handler=True, hooks=(("rpc", "*"),))
EDGE = WorkerInfo(edge=True, handler=False)
HOOKS = WorkerInfo(edge=False, handler=True, hooks=(("rpc", "*"),))
NO_HOOKS = WorkerInfo(edge=False, handler=True, hooks=())
OLDER = WorkerInfo(edge=False, handler=True)
SIZE = 4


def chosen(
    me: WorkerId, known: Mapping[WorkerId, WorkerInfo], avoided: Collection[WorkerId] = ()
) -> HandlerWorkers:
    return handler_workers(me, known, size=SIZE, avoided=avoided)


def fleet(count: int) -> tuple[WorkerId, list[WorkerId]]:
    """The first, and the others in order."""
    me, *others = sorted(new_worker_id() for _ in range(count))
    return me, others


def test_those_with_the_role_handle_that_do_not_leave_in_order() -> None:
    known = {ME: BOTH, C: BOTH, B: replace(BOTH, leaving=True), A: EDGE}

    assert chosen(ME, known).handlers == (C, ME)


def test_when_all_are_leaving_they_serve_to_the_end() -> None:
    known = dict.fromkeys((B, A), replace(BOTH, leaving=True))

    assert chosen(ME, {ME: EDGE} | known).handlers == (A, B)


def test_without_the_role_nobody_handles() -> None:
    assert chosen(ME, {ME: EDGE}) == ((), (), (), ())


@pytest.mark.parametrize(
    ("infos", "asked"),
    [
        ({A: HOOKS, B: NO_HOOKS, C: OLDER}, (A,)),  # an upgrade brings them
        ({A: HOOKS, B: HOOKS}, (A, B)),
        ({A: NO_HOOKS, B: OLDER}, (A,)),  # who says at least that it has none
        ({A: OLDER}, ()),  # who would not answer at all
        ({A: replace(HOOKS, leaving=True), B: NO_HOOKS}, (B,)),
    ],
)
def test_hooks_are_asked_of_who_has_some(
    infos: dict[WorkerId, WorkerInfo], asked: tuple[WorkerId, ...]
) -> None:
    assert chosen(ME, {ME: EDGE} | infos).hook_handlers == asked


def test_an_edge_that_handles_takes_itself_and_those_that_follow() -> None:
    me, others = fleet(20)
    it = chosen(me, dict.fromkeys((me, *others), BOTH))

    assert it.targets == it.hook_targets == (me, *others[: SIZE - 1])
    assert it.handlers == (me, *others)  # what the application has is asked of all


def test_who_leaves_takes_those_of_the_edge_that_follows_it() -> None:
    me, others = fleet(20)
    known = dict.fromkeys(others, BOTH) | {me: replace(BOTH, leaving=True)}

    assert chosen(me, known).targets == tuple(others[:SIZE])


def test_when_all_leave_they_are_targets_to_the_end() -> None:
    me, others = fleet(20)
    known = dict.fromkeys((me, *others), replace(BOTH, leaving=True))

    assert chosen(me, known).targets == (me, *others)  # no edge stays that would take a part


def test_hooks_are_asked_of_a_subset_of_those_who_have_some() -> None:
    """An upgrade brings them to a few: they need not be among the others."""
    me, others = fleet(20)
    known = dict.fromkeys((me, *others), replace(BOTH, hooks=()))
    it = chosen(me, known | {others[15]: BOTH})
    assert it.targets == (me, *others[: SIZE - 1])
    assert it.hook_targets == (others[15],)

    it = chosen(me, known | dict.fromkeys(others[7:], BOTH))
    assert it.targets == (me, *others[: SIZE - 1])
    assert it.hook_targets == tuple(others[7 : 7 + len(it.hook_targets)])
    assert SIZE <= len(it.hook_targets) < 12


def test_the_dead_host_of_a_fleet_takes_no_whole_subset() -> None:
    """Red where the hosts of workers are not looked at."""
    me, others = fleet(20)
    known = {worker: replace(BOTH, host="a") for worker in (me, *others[:10])}
    known |= {worker: replace(BOTH, host="b") for worker in others[10:]}

    assert chosen(me, known).targets == (me, *others[: SIZE - 2], others[10])


def test_where_none_of_its_own_is_reached_others_are_asked() -> None:
    """Red when an edge goes on with those it does not reach: all its messages waited, beside others
    that were there.
    """
    me, others = fleet(20)
    known = {me: EDGE} | dict.fromkeys(others, BOTH)
    own = chosen(me, known).targets
    assert len(own) < len(others)

    it = chosen(me, known, avoided=own)
    assert it.targets
    assert not {*it.targets} & {*own}
    assert it.targets == it.hook_targets
    assert chosen(me, known, avoided=others).targets == own
