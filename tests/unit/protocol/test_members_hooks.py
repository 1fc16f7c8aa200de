"""Which workers may be asked for hooks, by what they say of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.protocol.ids import WorkerId
from gateway.protocol.members import Leases, Members, WorkerInfo

ME, A, B, C = (WorkerId(letter * 16) for letter in "mabc")
HOOKS = WorkerInfo(edge=False, handler=True, hooks=(("rpc", "*"),))
NO_HOOKS = WorkerInfo(edge=False, handler=True, hooks=())
OLDER = WorkerInfo(edge=False, handler=True)


def members() -> Members:
    return Members(ME, WorkerInfo(edge=True, handler=False), lease_s=10.0, now=100.0)


def look(it: Members, living: dict[WorkerId, WorkerInfo], at: float) -> None:
    now_ms = round(at * 1000)
    workers = {worker: (now_ms + 9_000, info) for worker, info in living.items()}
    it.renewed(Leases(now_ms, workers, ()), asked_at=at, now=at)


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
    it = members()
    look(it, infos, 101.0)

    assert it.hook_handlers == asked


def test_a_change_of_who_has_hooks_alone_is_a_new_generation() -> None:
    it = members()
    look(it, {A: OLDER}, 101.0)
    before = it.generation
    look(it, {A: HOOKS}, 102.0)

    assert it.generation == before + 1
