"""Spans of what an edge has handled: each ends, once, and says how often it was tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from gateway.broker.memory import MemoryBroker
from gateway.handlers.dispatch_state import DispatchState
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.conversation import MAX_ATTEMPTS, Conversation, Event, Pending
from gateway.protocol.envelopes.dispatching import (
    Answer,
    ConnectionFacts,
    Dispatch,
    Failed,
    Reply,
)
from gateway.protocol.envelopes.hooks import DispatchHook
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.traced import TracedDispatch, TracedDispatchHook
from gateway.protocol.hooks import HookKind, HookRequest
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.members import Members
from gateway.tracing.attributes import ATTEMPT, ERROR, TO_WORKER
from gateway.tracing.connections import ConnectionTraces
from gateway.tracing.dispatcher import TracedDispatcher
from gateway.tracing.tracing import Tracing, being_current
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.traces import Traces, context_of

PATIENCE_S = 30.0


class Connection:
    facts = ConnectionFacts(None, "", "", (), ())

    def __init__(self) -> None:
        self.id = new_connection_id()
        self.told: Callable[[], object] = bool

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        self.told()

    def unhandled(self, pending: Pending) -> None:
        self.told()


class Stand:
    """A dispatcher among workers that trace, with one connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.traces = Traces(everywhere=False)
        self.sent: list[tuple[WorkerId, Envelope]] = []
        me = new_worker_id()
        self.members = Members(me, WorkerInfo(edge=True, handler=False), lease_s=10.0, now=0.0)
        links = Links(
            me, MemoryBroker(), Counters(), channel_of=str, everyone="all", now=lambda: self.now
        )
        monkeypatch.setattr(links, "send", lambda peer, what: self.sent.append((peer, what)))
        self.tracing = Tracing(self.traces.provider.get_tracer("test"), me)
        self.connections = ConnectionTraces()
        self.dispatcher = TracedDispatcher(
            self.tracing,
            self.connections,
            self.members,
            links,
            Counters(),
            patience_s=PATIENCE_S,
            now=lambda: self.now,
        )
        self.connection = Connection()
        self.state: DispatchState = self.dispatcher.open(self.connection)

    def join(self, *, traces: bool = True) -> WorkerId:
        worker = new_worker_id()
        self.members.known[worker] = WorkerInfo(
            edge=False, handler=True, hooks=(("rpc", "*"),), traces=traces
        )
        self.members._elect()
        self.dispatcher.workers_changed()
        return worker

    def lose(self, worker: WorkerId) -> None:
        self.members.gone(worker, now=self.now)
        self.dispatcher.worker_gone(worker)

    def say(self, text: str = "hello") -> None:
        self.dispatcher.read(self.state, Event.MESSAGE, text, len(text))

    def answer(self, worker: WorkerId, number: int, attempt: int = 1, *, fail: str = "") -> None:
        name = self.state.dispatchable.id
        answer: Answer = Reply(name, number, attempt, "x")
        if fail:
            answer = Failed(name, number, attempt, fail)
        self.dispatcher.settle(worker, answer)

    @property
    def kept(self) -> int:
        return len(self.dispatcher._waiting)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    made = Stand(monkeypatch)
    yield made
    made.dispatcher.close(made.state)
    assert not made.kept
    assert not made.connections._handshakes
    assert not made.connections._commands


def error_of(span: ReadableSpan) -> object:
    return (span.attributes or {}).get(ERROR)


def test_an_answer_ends_the_dispatch_and_then_the_message(stand: Stand) -> None:
    worker = stand.join()
    stand.say("one")
    stand.say("two")
    assert not stand.traces.spans
    stand.answer(worker, 2)  # not that which is waited for
    stand.answer(worker, 1, attempt=2)
    assert not stand.traces.spans
    stand.answer(worker, 1)
    stand.answer(worker, 2, fail="handler_failed")

    names = [span.name for span in stand.traces.spans]
    assert names == ["dispatch message", "message"] * 2
    assert [error_of(span) for span in stand.traces.spans] == [None] * 2 + ["handler_failed"] * 2
    assert not stand.kept


def test_who_does_not_trace_is_sent_what_it_knows(stand: Stand) -> None:
    stand.join(traces=False)
    stand.say()

    assert [type(what) for _, what in stand.sent if isinstance(what, Dispatch)] == [Dispatch]


def test_who_traces_is_told_of_the_dispatch(stand: Stand) -> None:
    worker = stand.join()
    stand.say()
    [told] = [what for _, what in stand.sent if isinstance(what, TracedDispatch)]
    stand.answer(worker, 1)
    [dispatch] = stand.traces.named("dispatch message")

    assert told.trace.traceparent.split("-")[1:3] == [
        f"{context_of(dispatch).trace_id:032x}",
        f"{context_of(dispatch).span_id:016x}",
    ]


def test_what_is_not_sampled_is_not_kept(stand: Stand) -> None:
    stand.traces.sampler.root = ALWAYS_OFF
    worker = stand.join()
    stand.say()

    assert not stand.kept
    assert [type(what) for _, what in stand.sent if isinstance(what, Dispatch)] == [Dispatch]
    stand.answer(worker, 1)
    assert not stand.traces.spans


def test_each_attempt_is_a_span_and_the_message_ends_with_the_last(stand: Stand) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        worker = stand.join()
        if attempt == 1:
            stand.say()
        stand.lose(worker)
    spans = stand.traces.spans

    assert [span.name for span in spans] == ["dispatch message"] * 3 + ["message"]
    assert [(span.attributes or {})[ATTEMPT] for span in spans[:3]] == [1, 2, 3]
    assert len({(span.attributes or {})[TO_WORKER] for span in spans[:3]}) == 3
    assert [error_of(span) for span in spans] == ["worker gone"] * 2 + ["unhandled"] * 2
    assert all(span.status.status_code is StatusCode.ERROR for span in spans)
    assert not stand.kept


def test_what_nobody_came_to_handle_ends(stand: Stand) -> None:
    stand.say()
    stand.now = PATIENCE_S + 1
    stand.dispatcher.give_up_waiting()

    assert [(span.name, error_of(span)) for span in stand.traces.spans] == [
        ("message", "unhandled")
    ]
    assert not stand.kept


def test_what_is_unanswered_at_the_end_of_its_connection_ends_with_it(stand: Stand) -> None:
    stand.join()
    stand.say()
    stand.dispatcher.close(stand.state)

    assert [(span.name, error_of(span)) for span in stand.traces.spans] == [
        ("dispatch message", "abandoned"),
        ("message", "abandoned"),
    ]


class Fault(Exception):
    """What nobody has expected."""


def fail(*_given: object, **_more: object) -> NoReturn:
    raise Fault


@pytest.mark.parametrize(
    "take",
    [
        Stand.say,
        lambda stand: stand.dispatcher.ask(stand.state, HookRequest(HookKind.UNSUBSCRIBE, "news")),
    ],
    ids=["read", "ask"],
)
def test_what_raises_before_it_is_taken_ends_and_leaves_its_number_to_the_next(
    stand: Stand, take: Callable[[Stand], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = stand.join()
    with monkeypatch.context() as broken:
        broken.setattr(Conversation, "read", fail)
        with pytest.raises(Fault):
            take(stand)
    assert [error_of(span) for span in stand.traces.spans] == ["Fault"]
    assert not stand.kept

    stand.say()
    stand.answer(worker, 1)
    assert [error_of(span) for span in stand.traces.named("message")][-1] is None


def test_what_cannot_be_sent_ends_at_once_and_its_message_with_the_connection(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.join()
    with monkeypatch.context() as broken:
        broken.setattr(stand.dispatcher, "_introduce", lambda *_: None)
        broken.setattr(stand.dispatcher, "_plainly", fail)
        with pytest.raises(Fault):
            stand.say()
    assert [(span.name, error_of(span)) for span in stand.traces.spans] == [
        ("dispatch message", "Fault")
    ]
    stand.dispatcher.close(stand.state)

    assert error_of(stand.traces.named("message")[0]) == "abandoned"


def answer_it(stand: Stand, worker: WorkerId) -> None:
    stand.answer(worker, 1)


def lose_it_again_and_again(stand: Stand, worker: WorkerId) -> None:
    for _ in range(MAX_ATTEMPTS):
        stand.lose(worker)
        worker = stand.join()


@pytest.mark.parametrize(
    ("end", "why"),
    [(answer_it, "Fault"), (lose_it_again_and_again, "unhandled")],
    ids=["answered", "given up"],
)
def test_a_connection_that_fails_at_its_answer_keeps_no_span_open(
    stand: Stand, end: Callable[[Stand, WorkerId], None], why: str
) -> None:
    worker = stand.join()
    stand.say()
    stand.connection.told = fail
    end(stand, worker)

    assert error_of(stand.traces.named("message")[0]) == why
    assert not stand.kept


def test_a_connection_that_fails_as_nobody_comes_keeps_no_span_open(stand: Stand) -> None:
    stand.say()
    stand.connection.told = fail
    stand.now = PATIENCE_S + 1
    stand.dispatcher.give_up_waiting()

    assert error_of(stand.traces.named("message")[0]) == "unhandled"
    assert not stand.kept


def test_a_close_that_fails_ends_what_was_unanswered(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.join()
    stand.say()
    with monkeypatch.context() as broken:
        broken.setattr(Conversation, "abandon", fail)
        with pytest.raises(Fault):
            stand.dispatcher.close(stand.state)

    assert [error_of(span) for span in stand.traces.spans] == ["abandoned"] * 2
    assert not stand.kept


def test_a_question_to_a_hook_is_a_part_of_what_asks_it(stand: Stand) -> None:
    worker = stand.join()
    request = HookRequest(HookKind.RPC, "greet", b"1")
    stand.dispatcher.ask(stand.state, request)  # by nobody
    assert not stand.kept
    asking = stand.tracing.start("rpc", SpanKind.SERVER)
    with being_current(asking):
        stand.dispatcher.ask(stand.state, request)
    kinds = [type(what) for _, what in stand.sent if isinstance(what, DispatchHook)]
    assert kinds == [DispatchHook, TracedDispatchHook]
    stand.answer(worker, 1)
    stand.answer(worker, 2)
    [dispatch] = stand.traces.spans

    assert dispatch.name == "dispatch rpc"
    assert dispatch.parent is not None
    assert dispatch.parent.span_id == asking.get_span_context().span_id
    assert asking.is_recording()  # it ends with its own answer


def test_the_end_of_a_subscription_is_a_trace_of_its_own(stand: Stand) -> None:
    worker = stand.join()
    stand.dispatcher.ask(stand.state, HookRequest(HookKind.UNSUBSCRIBE, "news"))
    stand.answer(worker, 1)

    assert [span.name for span in stand.traces.spans] == ["dispatch unsubscribe", "unsubscribe"]
    assert stand.traces.spans[1].parent is None


def test_a_command_that_is_not_answered_ends_with_its_connection(stand: Stand) -> None:
    name = stand.state.dispatchable.id
    done, left = (stand.tracing.start(each, SpanKind.SERVER) for each in ("subscribe", "rpc"))
    stand.connections.begun(name, done)
    stand.connections.begun(name, left)
    stand.connections.ended(name, done)
    stand.dispatcher.close(stand.state)

    assert [(span.name, error_of(span)) for span in stand.traces.spans] == [
        ("subscribe", None),
        ("rpc", "abandoned"),
    ]
