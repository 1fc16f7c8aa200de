"""What a span says, whose child it is, and what others are told of it."""

from __future__ import annotations

import logging
import warnings

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers

from gateway.errors import Denied, Refused
from gateway.protocol.trace_context import TraceContext
from gateway.tracing.attributes import DESTINATION, ERROR
from gateway.tracing.tracing import (
    MAX_TEXT,
    ROOT,
    UNSAMPLED,
    Tracing,
    being_current,
    carried,
    following,
    of_request,
)
from tests.support.ids import new_worker_id
from tests.support.traces import Traces, context_of

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED_PARENT = f"{PARENT[:-1]}0"


@pytest.fixture
def traces() -> Traces:
    return Traces(everywhere=False)


@pytest.fixture
def tracing(traces: Traces) -> Tracing:
    return Tracing(traces.provider.get_tracer("test"), new_worker_id())


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.encode(), value.encode()) for name, value in pairs])


def test_what_is_carried_is_followed(tracing: Tracing, traces: Traces) -> None:
    request = headers(("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2"))
    with tracing.span("first", SpanKind.SERVER, of_request(request)):
        told = carried()
    assert told is not None
    tracing.start("second", SpanKind.CONSUMER, following(told)).end()
    first, second = traces.spans

    assert told.tracestate == "a=1,b=2"
    assert context_of(first).trace_id == context_of(second).trace_id == int(PARENT[3:35], 16)
    assert second.parent is not None
    assert second.parent.span_id == context_of(first).span_id


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        (("traceparent", "x"),),
        (("traceparent", PARENT), ("traceparent", PARENT)),
        (("traceparent", PARENT + "x" * 9000),),
        (("tracestate", "a=1"),),
    ],
)
def test_a_request_that_names_no_span_begins_a_trace(pairs: tuple[tuple[str, str], ...]) -> None:
    assert of_request(headers(*pairs)) == ROOT


@pytest.mark.parametrize("state", ["", "a", "a=1,a=2", "a=é", "=,=" * 200, "1a@b=2", "a=1 ,\tb=2"])
def test_no_header_is_written_to_the_log(state: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        following(TraceContext(PARENT, state))
        of_request(headers(("traceparent", "é" * 5000), ("tracestate", state)))

    assert not caplog.records


def test_nobody_is_told_of_what_is_not_sampled(tracing: Tracing, traces: Traces) -> None:
    assert carried() is None
    with tracing.span("off", SpanKind.SERVER, following(TraceContext(UNSAMPLED_PARENT))):
        assert carried() is None
    traces.sampler.root = ALWAYS_OFF
    with tracing.span("off", SpanKind.SERVER, ROOT):
        assert carried() is None
    assert not traces.spans


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.999])
def test_below_what_is_not_sampled_nothing_is_whoever_asks(ratio: float) -> None:
    for sampler in (ParentBased(TraceIdRatioBased(ratio)), TraceIdRatioBased(ratio)):
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        span = provider.get_tracer("application").start_span("own", UNSAMPLED)

        assert not span.is_recording()


def test_an_error_leaves_its_type_and_not_its_text(tracing: Tracing, traces: Traces) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span("failing", SpanKind.CONSUMER):
        raise ValueError("secret")
    [span] = traces.spans

    assert (span.attributes or {})[ERROR] == "ValueError"
    assert span.status.status_code is StatusCode.ERROR
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("said", [Refused(4001, "no"), Denied(403, "no")])
def test_a_refusal_is_an_answer(tracing: Tracing, traces: Traces, said: Exception) -> None:
    with pytest.raises(type(said)), tracing.span("refusing", SpanKind.CONSUMER):
        raise said
    [span] = traces.spans

    assert span.status.status_code is StatusCode.UNSET


def test_a_text_that_a_client_chose_is_cut(tracing: Tracing, traces: Traces) -> None:
    tracing.start("x", SpanKind.PRODUCER, attributes={DESTINATION: "c" * (MAX_TEXT + 1)}).end()
    [span] = traces.spans

    assert (span.attributes or {})[DESTINATION] == "c" * MAX_TEXT


def test_a_text_that_is_no_unicode_loses_no_other_span(tracing: Tracing, traces: Traces) -> None:
    tracing.start("x", SpanKind.PRODUCER, attributes={DESTINATION: "café \ud800"}).end()
    [span] = traces.spans

    assert (span.attributes or {})[DESTINATION] == "café ?"
    assert encode_spans(traces.spans).SerializeToString()


def test_what_is_current_is_so_within_the_block_alone(tracing: Tracing) -> None:
    span = tracing.start("outer", SpanKind.SERVER, ROOT)
    with being_current(span):
        assert trace.get_current_span() is span
    assert not trace.get_current_span().get_span_context().is_valid
