"""Publications with a trace: what travels, and how many spans a worker makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from gateway.channel_broker.base import Stored
from gateway.channels.subscriber import Encoding
from gateway.errors import BrokerUnavailable, UnknownChannel
from gateway.messaging.hub import Hub
from gateway.metrics import Counters
from gateway.protocol.channel_messages import (
    PublicationBody,
    TracedPublicationBody,
    encode,
)
from gateway.protocol.recovery import Publication
from gateway.protocol.run import Run
from gateway.protocol.trace_context import ParentSpan, TraceContext, write
from gateway.settings.namespaces import ChannelOptions
from gateway.tracing.attributes import DESTINATION, ERROR, RECIPIENTS
from gateway.tracing.publications import MAX_DELIVERIES, TracedFanOut, TracedPublisher
from gateway.tracing.tracing import Tracing
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.traces import TOLD, Traces, context_of
from tests.unit.channels.recording import Recording
from tests.unit.channels.scripted_broker import ScriptedBroker, turn

read_traced = msgspec.msgpack.Decoder(TracedPublicationBody).decode


class Member(Recording):
    """A subscriber by whose delivery something else may be brought about."""

    def __init__(self) -> None:
        super().__init__(new_connection_id())
        self.then: Callable[[], None] = lambda: None

    def deliver(self, run: Run) -> None:
        super().deliver(run)
        self.then()


class Stand:
    def __init__(self) -> None:
        self.traces = Traces(everywhere=False)
        self.tracing = Tracing(self.traces.provider.get_tracer("test"), new_worker_id())
        self.fan_out = TracedFanOut(self.tracing, Counters(), Hub())
        self.fan_out.register(
            Encoding.TEXT,
            lambda channel, offset, body: body.data,
            lambda channel, kind, info: None,
        )
        self.members = [Member(), Member()]

    def deliver(self, *bodies: bytes, channel: str = "news") -> None:
        publications = [Publication(0, body) for body in bodies]
        by_id = {member.id: member for member in self.members}
        self.fan_out.publications(channel, publications, [list(by_id)], by_id)


@pytest.fixture
def stand() -> Stand:
    return Stand()


def traced(data: bytes = b"1") -> bytes:
    return encode(TracedPublicationBody(data, None, {}, TOLD))


def test_each_publication_with_a_trace_is_one_span_for_all_its_recipients(stand: Stand) -> None:
    stand.deliver(traced(b"1"), encode(PublicationBody(b"2")), traced(b"3"))

    assert [member.delivered for member in stand.members] == [[b"1", b"2", b"3"]] * 2
    assert [span.name for span in stand.traces.spans] == ["deliver publication"] * 2
    for span in stand.traces.spans:
        assert (span.attributes or {})[RECIPIENTS] == 2
        assert (span.attributes or {})[DESTINATION] == "news"
        assert context_of(span).trace_id == int(TOLD.traceparent[3:35], 16)


def test_a_flood_of_traces_is_not_one_of_spans(stand: Stand) -> None:
    stand.deliver(*[traced()] * (MAX_DELIVERIES + 1))

    assert len(stand.traces.spans) == MAX_DELIVERIES


def test_what_a_delivery_brings_about_is_counted_apart(stand: Stand) -> None:
    first = stand.members[0]

    def then() -> None:
        first.then = lambda: None
        stand.deliver(encode(PublicationBody(b"2")), channel="other")

    first.then = then
    stand.deliver(traced())
    [span] = stand.traces.spans

    assert (span.attributes or {})[DESTINATION] == "news"


def test_what_has_none_or_cannot_be_read_is_no_span(stand: Stand) -> None:
    stand.deliver(encode(PublicationBody(b"1")), b"\xc1")
    stand.deliver()

    assert not stand.traces.spans
    assert stand.members[0].delivered == [b"1"]


@pytest.mark.parametrize(
    "trace",
    [encode(7), encode([]), encode([7]), encode(["00", 7]), encode({"a": 1}), b"\xa1\xff"],
    ids=["number", "empty", "short", "state", "map", "no UTF-8"],
)
def test_a_trace_that_is_none_does_not_cost_the_publication(stand: Stand, trace: bytes) -> None:
    """A worker that does not trace skips that place, whatever stands there."""
    known = encode([b"1", None, {}])
    assert known[:1] == b"\x93"  # an array of three
    stand.deliver(b"\x94" + known[1:] + trace)

    assert [member.delivered for member in stand.members] == [[b"1"]] * 2
    assert not stand.traces.spans


def test_a_delivery_that_raises_ends_the_spans_of_its_publications(stand: Stand) -> None:
    def fail() -> None:
        raise RuntimeError

    stand.members[1].then = fail
    with pytest.raises(RuntimeError):
        stand.deliver(traced(b"1"), traced(b"2"))
    stand.members[1].then = lambda: None
    stand.deliver(traced(b"3"))

    errors = [(span.attributes or {}).get(ERROR) for span in stand.traces.spans]
    assert errors == ["RuntimeError"] * 2 + [None]


class Publishing:
    """A publisher of which the broker's answers are the test's."""

    def __init__(self) -> None:
        self.traces = Traces(everywhere=False)
        self.broker = ScriptedBroker()
        tracing = Tracing(self.traces.provider.get_tracer("test"), new_worker_id())
        self.publisher = TracedPublisher(tracing, self.broker, options_of, Counters())


def options_of(channel: str) -> ChannelOptions:
    if channel == "unknown":
        raise UnknownChannel("there is no namespace")
    return ChannelOptions()


async def test_what_is_published_carries_the_span_that_published_it() -> None:
    publishing = Publishing()
    publishing.publisher.publish("news", b"1")
    [sent] = publishing.broker.published
    assert not publishing.traces.spans, "it ends when it is stored"
    await turn()
    [span] = publishing.traces.spans

    assert read_traced(sent.body).trace == carried_by(span)
    assert (span.name, span.kind) == ("publish", SpanKind.PRODUCER)


async def test_what_is_not_sampled_is_published_as_ever() -> None:
    publishing = Publishing()
    publishing.traces.sampler.root = ALWAYS_OFF
    publishing.publisher.publish("news", b"1", tags={"k": "v"})
    [sent] = publishing.broker.published

    assert sent.body == encode(PublicationBody(b"1", None, {"k": "v"}))
    assert not publishing.traces.spans


async def test_what_cannot_be_published_is_told_in_its_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publishing = Publishing()
    with pytest.raises(UnknownChannel):
        publishing.publisher.publish("unknown", b"1")
    failed: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
    failed.set_exception(BrokerUnavailable("away"))
    monkeypatch.setattr(publishing.broker, "publish", lambda _: failed)
    publishing.publisher.publish("news", b"1")
    await turn()
    taken_back: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(publishing.broker, "publish", lambda _: taken_back)
    publishing.publisher.publish("news", b"1").cancel()
    await turn()

    assert [(span.attributes or {})[ERROR] for span in publishing.traces.spans] == [
        "UnknownChannel",
        "BrokerUnavailable",
        "CancelledError",
    ]


def carried_by(span: ReadableSpan) -> TraceContext:
    context = context_of(span)
    parent = ParentSpan(context.trace_id, context.span_id, int(context.trace_flags), "")
    return write(parent)
