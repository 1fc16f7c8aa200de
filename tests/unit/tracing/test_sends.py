"""What owners are told of a send, where there is hardly room for it."""

from __future__ import annotations

import pytest
from opentelemetry.trace import SpanKind

from gateway.broker.memory import MemoryBroker
from gateway.errors import EnvelopeTooLarge
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.requests_to_owners import Send
from gateway.protocol.envelopes.traced import TracedSend
from gateway.protocol.envelopes.wire import MAX_ENVELOPE_BYTES, encode
from gateway.protocol.members import Members, WorkerInfo
from gateway.tracing.sends import TracedLinkTransport
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
