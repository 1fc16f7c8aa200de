"""What an edge gives one handler worker at most, however many connections have a mebibyte each."""

from __future__ import annotations

import pytest

from gateway.broker.memory import MemoryBroker
from gateway.handlers.dispatch_state import DispatchState
from gateway.handlers.dispatcher import Dispatcher
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.conversation import Event, Pending
from gateway.protocol.envelopes.dispatching import Answer, ConnectionFacts, Reply
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.load import EVENT_BYTES, Load
from gateway.protocol.members import Members
from tests.support.ids import new_connection_id, new_worker_id

BOUND = 1 << 20
TEXT = "x" * (32 << 10)


class Dispatchable:
    """A connection that counts its answers."""

    facts = ConnectionFacts(None, "", "", (), ())

    def __init__(self) -> None:
        self.id = new_connection_id()
        self.ended = 0

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        self.ended += 1

    def unhandled(self, pending: Pending) -> None:
        self.ended += 1


class Stand:
    """A dispatcher whose links take everything, and one handler worker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.protocol.load.MAX_BYTES", BOUND)
        for place in ("protocol.load", "handlers.dispatcher"):
            monkeypatch.setattr(f"gateway.{place}.CROWDED_BYTES", 3 * (BOUND // 4))
        self.handler = new_worker_id()
        members = Members(
            new_worker_id(), WorkerInfo(edge=True, handler=False), lease_s=10.0, now=0.0
        )
        members.known[self.handler] = WorkerInfo(edge=False, handler=True)
        members._elect()
        links = Links(
            members.me, MemoryBroker(), Counters(), channel_of=str, everyone="all", now=zero
        )
        monkeypatch.setattr(links, "takes", lambda _peer, _owed: True)
        self.counters = Counters()
        self.dispatcher = Dispatcher(members, links, self.counters, patience_s=30.0, now=zero)

    def visit(self, messages: int, text: str = TEXT) -> DispatchState:
        state = self.dispatcher.open(Dispatchable())
        for _ in range(messages):
            self.dispatcher.read(state, Event.MESSAGE, text, size_bytes=len(text))
        return state

    def answer(self, state: DispatchState) -> None:
        oldest = state.conversation.oldest
        assert oldest is not None
        answer = Reply(state.dispatchable.id, oldest.number, oldest.attempt, None)
        self.dispatcher.settle(self.handler, answer)

    def outstanding(self, states: list[DispatchState]) -> int:
        return sum(state.conversation.outstanding_bytes for state in states)


def zero() -> float:
    return 0.0


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(monkeypatch)


def test_what_lies_undecided_at_a_worker_is_bounded_over_all_connections(stand: Stand) -> None:
    """Red without ``Load``: 40 connections, 40 times their bound."""
    states = [stand.visit(8) for _ in range(40)]
    most = 0
    while any(len(state.conversation) for state in states):
        most = max(most, stand.outstanding(states))
        state = next(state for state in states if state.conversation.outstanding)
        stand.answer(state)

    assert BOUND // 2 < most <= BOUND + 8 * len(TEXT)
    assert [
        state.dispatchable.ended for state in states if isinstance(state.dispatchable, Dispatchable)
    ] == [8] * 40


def test_who_has_little_there_goes_before_who_has_much(stand: Stand) -> None:
    much = stand.visit(32)
    assert much.conversation.waiting
    stand.dispatcher.workers_changed()  # it is tried again, and waits as before
    assert stand.counters.dispatch_waits["worker"] == 1

    assert not stand.visit(1, "hello").conversation.waiting


def test_whoever_waited_for_something_else_before_is_counted_too(stand: Stand) -> None:
    """Red when all that is blocked counts as counted: each connection is held at first."""
    stand.visit(32)
    before = stand.counters.dispatch_waits["worker"]
    late = stand.dispatcher.open(Dispatchable())
    late.conversation.held = True  # the registry does not know of it yet
    for _ in range(32):
        stand.dispatcher.read(late, Event.MESSAGE, TEXT, size_bytes=len(TEXT))
    assert stand.counters.dispatch_waits["worker"] == before

    late.conversation.held = False
    for _ in range(3):
        stand.dispatcher.pump(late)

    assert stand.counters.dispatch_waits["worker"] == before + 1


def test_what_is_still_to_be_handled_for_clients_that_left_counts(stand: Stand) -> None:
    """Red when a closed connection takes its load along: a worker may be filled by coming anew."""
    states = []
    for _ in range(40):
        states.append(stand.visit(8))
        stand.dispatcher.close(states[-1])
    assert stand.outstanding(states) <= BOUND + 8 * len(TEXT)

    late = stand.visit(8)
    assert late.conversation.waiting
    for state in states:
        while state.conversation.outstanding:
            stand.answer(state)
    assert not late.conversation.waiting


def test_the_load_of_a_worker_ends_with_it(stand: Stand) -> None:
    """Its link was lost, and it lives: what it had is dispatched anew, and what waited too."""
    states = [stand.visit(8) for _ in range(40)]
    before = stand.outstanding(states)

    stand.dispatcher.worker_gone(stand.handler)

    assert BOUND // 2 < stand.outstanding(states) <= BOUND + 8 * len(TEXT)
    assert before <= BOUND + 8 * len(TEXT)


def test_events_without_a_text_cost_something_too(stand: Stand) -> None:
    states = [stand.visit(32, "") for _ in range(2 * BOUND // EVENT_BYTES // 32)]

    assert states[-1].conversation.waiting


def test_those_who_wait_are_not_asked_again_for_each_answer() -> None:
    load = Load()
    while load.takes(1 << 20):
        load.bytes_owed += (1 << 20) + EVENT_BYTES
    load.refused = True
    full = load.bytes_owed

    asked_at = []
    while load.bytes_owed > 0:
        if load.settle(1 << 20):
            asked_at.append(load.bytes_owed)

    assert len(asked_at) == 1
    assert asked_at[0] < 0.7 * full
