"""Sends of a trace: what owners are told where there is hardly room, and where they fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.trace import SpanKind

from gateway.broker.memory import MemoryBroker
from gateway.errors import ChannelLimit, EnvelopeTooLarge
from gateway.messaging.hub import Done, Hub
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.requests_to_owners import Receipted, Send
from gateway.protocol.envelopes.traced import (
    TracedSend,
    TracedSubscribeConnection,
    TracedUnsubscribeConnection,
)
from gateway.protocol.envelopes.wire import MAX_ENVELOPE_BYTES, encode
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.members import Members
from gateway.protocol.receipt import Receipt
from gateway.protocol.trace_context import TraceContext
from gateway.tracing.attributes import DESTINATION, ERROR, RECEIPT
from gateway.tracing.sends import TracedLinkTransport, TracedOwnerReceipts
from gateway.tracing.tracing import Tracing
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.traces import TOLD, Traces

OWNER = new_worker_id()
LARGEST = MAX_ENVELOPE_BYTES - len(encode(Send(new_connection_id(), 1, ""))) - 4


def test_the_longest_text_goes_without_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    me = new_worker_id()
    members = Members(me, WorkerInfo(edge=True, handler=True), lease_s=10.0, now=0.0)
    members.known[OWNER] = WorkerInfo(edge=True, handler=True, traces=True)
    links = Links(me, MemoryBroker(), Counters(), channel_of=str, everyone="all", now=lambda: 0.0)
    sent: list[Envelope] = []

    def send(peer: object, envelope: Envelope) -> None:
        encode(envelope)
        sent.append(envelope)

    monkeypatch.setattr(links, "send", send)
    transport = TracedLinkTransport(links, members)
    tracing = Tracing(Traces(everywhere=False).provider.get_tracer("test"), me)
    with tracing.span("send", SpanKind.PRODUCER):
        for size in (1, LARGEST):
            assert transport.ask(OWNER, Send(new_connection_id(), 1, "x" * size))
        with pytest.raises(EnvelopeTooLarge):
            transport.ask(OWNER, Send(new_connection_id(), 1, "x" * (LARGEST + 1)))

    assert [type(envelope) for envelope in sent] == [TracedSend, Send]


class Failing:
    """A connection that fails at everything, before it tells of it or after."""

    def __init__(self, *, tells: bool) -> None:
        self._tells = tells

    def push(self, text: str, done: Callable[[Receipt], None]) -> None:
        if self._tells:
            done(Receipt.WRITTEN)
        raise RuntimeError


@pytest.mark.parametrize(("tells", "why"), [(False, "RuntimeError"), (True, None)])
def test_a_delivery_that_raises_ends_its_span(
    monkeypatch: pytest.MonkeyPatch, *, tells: bool, why: str | None
) -> None:
    traces, hub = Traces(everywhere=False), Hub()
    monkeypatch.setattr(hub, "get", lambda _: Failing(tells=tells))
    receipts = TracedOwnerReceipts(
        Tracing(traces.provider.get_tracer("test"), OWNER),
        hub,
        answer=lambda *_: None,
        holding=bool,
        now=lambda: 0.0,
    )
    with pytest.raises(RuntimeError):
        receipts.asked(OWNER, TracedSend(new_connection_id(), 1, "text", trace=TOLD))

    [span] = traces.named("deliver send")
    assert (span.attributes or {}).get(ERROR) == why


class Joining:
    """A connection whose subscriptions wait.

    Attributes:
        dones: Told what becomes of them.
    """

    taking = Receipt.WRITTEN

    def __init__(self) -> None:
        self.dones: list[Done] = []

    def subscribe(self, channel: str, done: Done) -> None:
        self.dones.append(done)

    def unsubscribe(self, channel: str, done: Done) -> None:
        raise RuntimeError


class Owner:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.traces, self.connection = Traces(everywhere=False), Joining()
        self.answers: list[Receipted] = []
        self.holding = False
        hub = Hub()
        monkeypatch.setattr(hub, "get", lambda _: self.connection)
        self.receipts = TracedOwnerReceipts(
            Tracing(self.traces.provider.get_tracer("test"), OWNER),
            hub,
            answer=lambda _requester, answer, _unlinked: self.answers.append(answer),
            holding=lambda: self.holding,
            now=lambda: 0.0,
        )

    def subscribe(self, number: int, trace: TraceContext = TOLD) -> None:
        question = TracedSubscribeConnection(new_connection_id(), number, "news", trace=trace)
        self.receipts.asked(OWNER, question)


def test_a_question_ends_at_the_owner_with_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner(monkeypatch)
    owner.subscribe(1)
    owner.subscribe(2)
    assert not owner.traces.spans
    first, second = owner.connection.dones
    second(Receipt.WRITTEN)
    first(ChannelLimit("too many"))
    owner.subscribe(3, TraceContext(TOLD.traceparent[:-1] + "0"))  # nobody has sampled it
    owner.connection.dones[-1](Receipt.WRITTEN)

    told = [span.attributes or {} for span in owner.traces.named("deliver subscribe")]
    assert [(each[RECEIPT], each.get(ERROR), each[DESTINATION]) for each in told] == [
        ("written", None, "news"),
        ("unreachable", ChannelLimit.code, "news"),
    ]
    assert not owner.receipts._asked
    assert [answer.number for answer in owner.answers] == [2, 1, 3]


def test_a_question_that_raises_at_the_owner_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner(monkeypatch)
    question = TracedUnsubscribeConnection(new_connection_id(), 1, "news", trace=TOLD)
    with pytest.raises(RuntimeError):
        owner.receipts.asked(OWNER, question)

    [span] = owner.traces.named("deliver unsubscribe")
    assert (span.attributes or {})[ERROR] == "RuntimeError"
    assert not owner.receipts._asked


def test_what_an_owner_does_not_take_in_begins_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner(monkeypatch)
    owner.holding = True
    owner.subscribe(1)

    assert not owner.receipts._asked
    assert not owner.answers
