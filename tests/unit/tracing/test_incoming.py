"""What of a request's own trace counts: that of strangers decides nothing, unless it is to."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from starlette.datastructures import Headers

from gateway.tracing.incoming import Incoming, OfStrangers
from gateway.tracing.tracing import Tracing
from tests.support.ids import new_worker_id
from tests.support.traces import Traces, context_of

TRACE_ID = int("0af7651916cd43dd8448eb211c80319c", 16)
NAMED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def traces() -> Traces:
    return Traces(everywhere=False)


def begin(
    traces: Traces, of_strangers: OfStrangers, *, known: bool = False, named: str = NAMED
) -> None:
    tracing = Tracing(traces.provider.get_tracer("test"), new_worker_id())
    headers = Headers({"traceparent": named, "tracestate": "a=1"})
    Incoming(tracing, of_strangers).start("GET /", headers, {}, known=known).end()


@pytest.mark.parametrize(
    ("of_strangers", "known", "below", "linked"),
    [
        ("link", False, False, True),
        ("ignore", False, False, False),
        ("parent", False, True, False),
        ("link", True, True, False),
        ("ignore", True, True, False),
    ],
)
def test_what_the_named_span_is(
    traces: Traces, of_strangers: OfStrangers, known: bool, below: bool, linked: bool
) -> None:
    begin(traces, of_strangers, known=known)
    [span] = traces.spans

    assert (context_of(span).trace_id == TRACE_ID) == (span.parent is not None) == below
    assert [link.context.trace_id for link in span.links] == [TRACE_ID] * linked
    assert (context_of(span).trace_state.get("a") == "1") == below


@pytest.mark.parametrize("of_strangers", ["link", "ignore"])
def test_a_stranger_does_not_decide_what_is_sampled(
    traces: Traces, of_strangers: OfStrangers
) -> None:
    traces.sampler.root = ALWAYS_OFF
    begin(traces, of_strangers)
    assert not traces.spans

    begin(traces, of_strangers, known=True)
    assert traces.spans


@pytest.mark.parametrize("of_strangers", ["link", "parent", "ignore"])
def test_what_names_no_span_is_neither(traces: Traces, of_strangers: OfStrangers) -> None:
    for named in ("", "x" * 5000, f"ff{NAMED[2:]}"):
        begin(traces, of_strangers, named=named)

    assert all(span.parent is None and not span.links for span in traces.spans)
