"""What a change of the set of two hundred workers costs an edge, and whom it moves, when."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.broker.memory import MemoryBroker
from gateway.handlers.dispatch_state import DispatchState
from gateway.handlers.dispatcher import Dispatcher
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.conversation import Conversation, Event, Pending
from gateway.protocol.envelopes.dispatching import Answer, ConnectionFacts, Dispatch, Reply
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.hash_ring import HashRing
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.members import Members
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.logs import capture_logs

WORKERS = 200
CONNECTIONS = 2000


class Connection:
    """One that remembers who answered it."""

    facts = ConnectionFacts(None, "", "", (), ())

    def __init__(self) -> None:
        self.id = new_connection_id()
        self.handled_by: list[WorkerId] = []

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        self.handled_by.append(handled_by)

    def unhandled(self, pending: Pending) -> None:
        raise AssertionError


class Stand:
    """A dispatcher among many workers, with connections; its calls are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        self.sent: list[tuple[WorkerId, Envelope]] = []
        self.members = Members(
            new_worker_id(), WorkerInfo(edge=True, handler=False), lease_s=10.0, now=0.0
        )
        self.join(*(new_worker_id() for _ in range(WORKERS)))
        links = Links(
            self.members.me,
            MemoryBroker(),
            Counters(),
            channel_of=str,
            everyone="all",
            now=lambda: 0.0,
        )
        monkeypatch.setattr(links, "send", lambda peer, what: self.sent.append((peer, what)))
        self.counters = Counters()
        self.dispatcher = Dispatcher(
            self.members, links, self.counters, patience_s=30.0, now=lambda: 0.0
        )
        pick, take_back = HashRing.pick, Conversation.take_back

        def counted_pick(
            ring: HashRing, connection: ConnectionId, workers: tuple[WorkerId, ...]
        ) -> WorkerId | None:
            self.calls["pick"] += 1
            return pick(ring, connection, workers)

        def counted_take_back(
            conversation: Conversation, worker: WorkerId
        ) -> tuple[int, list[Pending]]:
            self.calls["take back"] += 1
            return take_back(conversation, worker)

        monkeypatch.setattr(HashRing, "pick", counted_pick)
        monkeypatch.setattr(Conversation, "take_back", counted_take_back)
        self.states = [self.dispatcher.open(Connection()) for _ in range(CONNECTIONS)]

    def join(self, *workers: WorkerId) -> None:
        for worker in workers:
            self.members.known[worker] = WorkerInfo(edge=False, handler=True)
        self.members._elect()

    def say(self) -> None:
        for state in self.states:
            self.dispatcher.read(state, Event.MESSAGE, "hello", size_bytes=5)

    def answer(self) -> None:
        for state in self.states:
            while (oldest := state.conversation.oldest) is not None:
                worker = state.conversation.worker
                assert worker is not None
                answer = Reply(state.dispatchable.id, oldest.number, oldest.attempt, None)
                self.dispatcher.settle(worker, answer)

    def handled_by(self, nth: int) -> list[WorkerId]:
        return [connection_of(state).handled_by[nth] for state in self.states]


def connection_of(state: DispatchState) -> Connection:
    assert isinstance(state.dispatchable, Connection)
    return state.dispatchable


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(monkeypatch)


def test_a_worker_that_joins_costs_no_pick_until_there_is_something_to_dispatch(
    stand: Stand,
) -> None:
    """Nor twice, and only its share moves to it; what was under way is answered by who has it."""
    stand.say()
    stand.answer()
    stand.say()
    assert stand.calls["pick"] == CONNECTIONS

    newcomer = new_worker_id()
    stand.join(newcomer)
    stand.dispatcher.workers_changed()
    assert stand.calls["pick"] == CONNECTIONS

    stand.say()
    stand.answer()
    stand.say()
    stand.answer()

    assert stand.calls["pick"] == 2 * CONNECTIONS
    before, under_way, _, after = (stand.handled_by(nth) for nth in range(4))
    assert under_way == before
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) <= {newcomer}
    assert len(moved) < 40  # 2,000 of 201 are 10


def test_a_worker_that_goes_concerns_only_those_it_knows(stand: Stand) -> None:
    """Red where all connections are looked at. What it owed is handled by others."""
    stand.say()
    gone = stand.states[0].introduced_to
    assert gone is not None
    there = [state for state in stand.states if state.introduced_to == gone]
    assert stand.members.gone(gone, now=0.0)
    stand.dispatcher.worker_gone(gone)

    assert stand.calls["take back"] == len(there) < CONNECTIONS / 20
    assert all(state.introduced_to not in {None, gone} for state in there)
    stand.answer()
    assert gone not in stand.handled_by(0)


def test_who_has_closed_or_moved_is_not_kept_for_the_worker_that_knew_it(stand: Stand) -> None:
    """Red without ``_forget``: a closed connection is found again when the worker goes."""
    stand.say()
    stand.answer()
    knew = stand.states[0].introduced_to
    assert knew is not None
    stand.join(*(new_worker_id() for _ in range(WORKERS)))
    stand.say()
    stand.answer()
    there = [state for state in stand.states if state.introduced_to == knew]
    for state in there[1:]:
        stand.dispatcher.close(state)
    stand.dispatcher.worker_gone(knew)

    assert stand.calls["take back"] == min(len(there), 1)


class Untellable(Connection):
    """One whose facts cannot be told any more."""

    @property
    def facts(self) -> ConnectionFacts:  # type: ignore[override]
        raise RuntimeError("of one connection")


def test_one_that_cannot_be_moved_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when its error goes on: those behind it waited for the dead, and who had told of that,
    the task that renews the lease, ended with the worker.
    """
    stand = Stand(monkeypatch)
    stand.say()
    gone = max(stand.members.handlers, key=lambda w: len(stand.dispatcher._introduced[w]))
    theirs = list(stand.dispatcher._introduced[gone].values())
    theirs[0].dispatchable = Untellable()
    stand.members.gone(gone, now=1.0)
    stand.sent.clear()

    with capture_logs() as logs:
        stand.dispatcher.worker_gone(gone)

    moved = {what.connection for _, what in stand.sent if isinstance(what, Dispatch)}
    assert moved == {state.dispatchable.id for state in theirs[1:]}
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["dispatch failed"]

    for state in theirs[1:3]:  # they wait, and others tell them to go on
        state.conversation.held = True
        stand.dispatcher.read(state, Event.MESSAGE, "more", size_bytes=4)
        state.conversation.held = False
    theirs[1].generation, theirs[1].introduced_to = -1, None
    theirs[1].dispatchable = Untellable()
    stand.sent.clear()
    stand.dispatcher.workers_changed()

    assert [what.connection for _, what in stand.sent if isinstance(what, Dispatch)] == [
        theirs[2].dispatchable.id
    ]


class Unhearing(Connection):
    """One that fails when it is told that nobody handles its message."""

    def unhandled(self, pending: Pending) -> None:
        raise RuntimeError("of one connection")


class Hearing(Connection):
    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    def unhandled(self, pending: Pending) -> None:
        self.told += 1


def test_one_that_cannot_be_told_of_its_end_keeps_no_other_from_it() -> None:
    """Red when its error goes on: the others wait for ever, and the worker's housekeeping ends."""
    now = [0.0]
    members = Members(new_worker_id(), WorkerInfo(edge=True, handler=False), lease_s=10.0, now=0.0)
    links = Links(
        members.me, MemoryBroker(), Counters(), channel_of=str, everyone="all", now=lambda: 0.0
    )
    dispatcher = Dispatcher(members, links, Counters(), patience_s=30.0, now=lambda: now[0])
    hearing = [Hearing(), Hearing()]
    for connection in (hearing[0], Unhearing(), hearing[1]):
        dispatcher.read(dispatcher.open(connection), Event.MESSAGE, "hello", size_bytes=5)

    now[0] = 31.0
    with capture_logs() as logs:
        dispatcher.give_up_waiting()

    assert [connection.told for connection in hearing] == [1, 1]
    assert [line["event"] for line in logs] == ["dispatch failed"]


class Unanswerable(Hearing):
    """One that fails at its answers."""

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        raise RuntimeError("of one answer")


def test_one_that_cannot_take_an_answer_is_told_and_goes_on(stand: Stand) -> None:
    """Red when its error goes on: the message ends without a word, and the next one waits."""
    unanswerable = Unanswerable()
    state = stand.dispatcher.open(unanswerable)
    stand.states = [state]
    for _ in range(2):
        stand.dispatcher.read(state, Event.MESSAGE, "hello", size_bytes=5)

    with capture_logs() as logs:
        stand.answer()

    assert unanswerable.told == 2
    assert not len(state.conversation)
    assert [line["event"] for line in logs] == ["answer not taken"] * 2
    assert stand.counters.answers_not_taken == 2
