"""Sends of a trace: what owners are told where there is hardly room, and where they fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.trace import SpanKind

from gateway.broker.memory import MemoryBroker
from gateway.errors import EnvelopeTooLarge
from gateway.messaging.hub import Hub
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.requests_to_owners import Send
from gateway.protocol.envelopes.traced import TracedSend
from gateway.protocol.envelopes.wire import MAX_ENVELOPE_BYTES, encode
from gateway.protocol.members import Members, WorkerInfo
from gateway.protocol.receipt import Receipt
from gateway.protocol.trace_context import TraceContext
from gateway.tracing.attributes import ERROR
from gateway.tracing.sends import TracedLinkTransport, TracedOwnerReceipts
from gateway.tracing.tracing import Tracing
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.traces import Traces

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
    told = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    with pytest.raises(RuntimeError):
        receipts.asked(OWNER, TracedSend(new_connection_id(), 1, "text", trace=told))

    [span] = traces.named("deliver send")
    assert (span.attributes or {}).get(ERROR) == why
