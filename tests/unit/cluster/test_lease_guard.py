"""When a worker that may have been replaced stops, and when it goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from gateway.cluster.lease_guard import (
    MAY_ACT,
    MAY_HANDLE,
    MOVES,
    LeaseEvent,
    LeaseGuard,
    LeaseState,
)
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.members import Members

ME = WorkerId("m" * 16)
LEASE_S = 10.0

# What each state becomes by each event, all of them, and what it permits:
# to act for others, to start handlers, to take new connections.
EVENTS = ["RENEWED", "LAPSED", "PROBE_BACK", "UNREGISTERED", "RETIRED", "FENCED"]
TABLE = {
    "NOT_REGISTERED": (
        ["ACTING", "NOT_REGISTERED", "NOT_REGISTERED", "NOT_REGISTERED", "RETIRED", "FENCED"],
        (True, True, False),
    ),
    "ACTING": (
        ["ACTING", "HOLDING", "ACTING", "NOT_REGISTERED", "RETIRED", "FENCED"],
        (True, True, True),
    ),
    "HOLDING": (
        ["RELEASING", "HOLDING", "HOLDING", "HOLDING", "EXPIRED", "FENCED"],
        (False, False, False),
    ),
    "RELEASING": (
        ["RELEASING", "HOLDING", "ACTING", "HOLDING", "EXPIRED", "FENCED"],
        (False, False, False),
    ),
    "RETIRED": (
        ["RETIRED", "EXPIRED", "RETIRED", "RETIRED", "RETIRED", "FENCED"],
        (True, False, False),
    ),
    "EXPIRED": (
        ["EXPIRED", "EXPIRED", "EXPIRED", "EXPIRED", "EXPIRED", "FENCED"],
        (False, False, False),
    ),
    "FENCED": (["FENCED"] * 6, (False, False, False)),
}
# How to get into each.
WAY = {
    "NOT_REGISTERED": [],
    "ACTING": ["RENEWED"],
    "HOLDING": ["RENEWED", "LAPSED"],
    "RELEASING": ["RENEWED", "LAPSED", "RENEWED"],
    "RETIRED": ["RENEWED", "RETIRED"],
    "EXPIRED": ["RENEWED", "LAPSED", "RETIRED"],
    "FENCED": ["FENCED"],
}


class Part:
    """A part of a worker that does what it is told."""

    def __init__(self) -> None:
        self.held = False

    def hold(self) -> None:
        assert not self.held
        self.held = True

    def release(self) -> None:
        assert self.held
        self.held = False


class Bench:
    """A guard, its probe and its clock."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.probes: list[Callable[[], None]] = []
        self.members = Members(
            ME, WorkerInfo(edge=True, handler=True), lease_s=LEASE_S, now=self.now_s
        )
        self.links, self.runner = Part(), Part()
        self.lease_guard = LeaseGuard(
            members=self.members,
            loopback_probe=Mock(after_next=self.probes.append),
            acts=self.links,
            handles=self.runner,
            now=lambda: self.now_s,
        )

    def renew(self) -> None:
        seen = Leases(round(self.now_s * 1000), {}, set())
        self.members.renewed(seen, asked_at=self.now_s, now=self.now_s)
        self.lease_guard.renewed()

    def happen(self, event: str) -> None:
        """By the methods that the worker calls."""
        guard = self.lease_guard
        match LeaseEvent[event]:
            case LeaseEvent.RENEWED:
                self.renew()
            case LeaseEvent.LAPSED:
                self.now_s += LEASE_S
                guard.check_lease()
            case LeaseEvent.PROBE_BACK:
                self.probes.pop() if self.probes else None
                guard._probe_back()
            case LeaseEvent.UNREGISTERED:
                guard.unregister()
            case LeaseEvent.RETIRED:
                guard.retire()
            case LeaseEvent.FENCED:
                guard.fence()


def test_the_table_knows_every_state_and_every_event() -> None:
    assert set(TABLE) == set(WAY) == {state.name for state in LeaseState}
    assert [event.name for event in LeaseEvent] == EVENTS


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", TABLE)
def test_each_event_in_each_state_does_what_the_table_says(state: str, event: str) -> None:
    bench = Bench()
    for before in WAY[state]:
        bench.happen(before)
    assert bench.lease_guard.state.name == state
    permits(bench, *TABLE[state][1])

    bench.happen(event)

    after = TABLE[state][0][EVENTS.index(event)]
    assert bench.lease_guard.state.name == after
    permits(bench, *TABLE[after][1])


def permits(bench: Bench, act: bool, handle: bool, connect: bool) -> None:
    """What is asked and what the parts were told are one."""
    assert bench.lease_guard.may_act == (not bench.links.held) == act
    assert (not bench.runner.held) == handle
    assert bench.lease_guard.is_acting == connect


def test_the_docs_show_every_move() -> None:
    text = (Path(__file__).parents[3] / "docs/concepts/membership.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \|( (?:yes|no) .*)\|$", text, re.MULTILINE)
    shown = {}
    for state, cells in rows:
        *permits, moves = (cell.strip() for cell in cells.split("|"))
        shown[state] = [
            permits,
            {
                e.strip().replace(" ", "_").upper(): s
                for e, s in re.findall(r"([a-z ]+): `([A-Z_]+)`", moves)
            },
        ]

    yes = {True: "yes", False: "no"}
    assert shown == {
        state.name: [
            [yes[state in MAY_ACT], yes[state in MAY_HANDLE], yes[state is LeaseState.ACTING]],
            {event.name: after.name for (before, event), after in MOVES.items() if before is state},
        ]
        for state in LeaseState
    }


@pytest.mark.parametrize("state", TABLE)
def test_entries_are_written_within_a_lease_and_unless_it_is_fenced(state: str) -> None:
    bench = Bench()
    for before in WAY[state]:
        bench.happen(before)
    bench.renew()
    assert bench.lease_guard.may_write == (state != "FENCED")

    bench.now_s += LEASE_S

    assert not bench.lease_guard.may_write


def held() -> Bench:
    """A worker whose lease has lapsed and was renewed; its probe is still on its way."""
    bench = Bench()
    for event in WAY["RELEASING"]:
        bench.happen(event)
    return bench


def test_a_hold_ends_when_the_probe_is_back() -> None:
    bench = held()
    assert not bench.lease_guard.may_act

    bench.probes.pop()()

    assert bench.lease_guard.may_act


def test_a_probe_that_took_longer_than_the_lease_ends_no_hold() -> None:
    """Red without a second look at the lease: others may have been given the work meanwhile."""
    bench = held()
    bench.now_s += LEASE_S

    bench.probes.pop()()
    assert not bench.lease_guard.may_act

    bench.renew()
    bench.probes.pop()()
    assert bench.lease_guard.may_act


def test_a_probe_that_is_back_after_the_fence_ends_no_hold() -> None:
    """Red without a look at the fence: a worker that others have replaced goes on."""
    bench = held()
    bench.now_s += 3
    bench.lease_guard.fence()

    bench.probes.pop()()

    assert not bench.lease_guard.may_act
    assert bench.runner.held
    assert bench.links.held
