"""Spans, as all variants begin and end them. Never with what a message says.

Nothing here reads a clock or waits: finished spans are exported by a thread of the SDK.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    TraceState,
)

from gateway.errors import Denied, Refused
from gateway.protocol import trace_context
from gateway.protocol.ids import WorkerId
from gateway.protocol.trace_context import ParentSpan, TraceContext
from gateway.tracing.attributes import ERROR, OPERATION, OPERATION_TYPE, SYSTEM, WORKER

MAX_TEXT: Final = 255  # of an attribute that a client chooses

ROOT: Final = Context()  # no parent, whatever is current

_OPERATION_TYPES: Final = {SpanKind.PRODUCER: "send", SpanKind.CONSUMER: "process"}

Attributes = Mapping[str, str | int]

# What an edge has not sampled is not sampled here either: the spans of the application would be
# traces of their own. A sampler by ratio that asks no parent drops this id last of all.
UNSAMPLED: Final = trace.set_span_in_context(
    NonRecordingSpan(SpanContext((1 << 128) - 1, (1 << 64) - 1, is_remote=True)), Context()
)


class Headers(Protocol):
    """Of a request (``starlette.datastructures.Headers``)."""

    def getlist(self, key: str) -> Sequence[str]: ...


class Tracing:
    """Begins the spans of one worker, or of a process that is none: then ``me`` is None."""

    def __init__(self, tracer: Tracer, me: WorkerId | None) -> None:
        self._tracer = tracer
        self._me = me

    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: Context | None = None,
        *,
        link: SpanContext | None = None,
        attributes: Attributes | None = None,
        at_unix_ns: int | None = None,
    ) -> Span:
        """Begin a span; whoever does so ends it.

        Args:
            name: An operation. Never what a client has chosen: of names there are to be few.
            parent: None is what is current.
        """
        span = self._tracer.start_span(
            name, parent, kind, links=() if link is None else (Link(link),), start_time=at_unix_ns
        )
        if span.is_recording():
            if self._me is not None:
                span.set_attribute(WORKER, self._me)
            if (operation := _OPERATION_TYPES.get(kind)) is not None:
                span.set_attribute(SYSTEM, "gateway")
                span.set_attribute(OPERATION, name.partition(" ")[0])
                span.set_attribute(OPERATION_TYPE, operation)
            for key, value in (attributes or {}).items():
                if isinstance(value, str):
                    text = value[:MAX_TEXT]
                    value = text if text.isascii() else _encodable(text)  # noqa: PLW2901
                span.set_attribute(key, value)
        return span

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind,
        parent: Context | None = None,
        *,
        attributes: Attributes | None = None,
    ) -> Iterator[Span]:
        """A span that is current within the block, and ends with it."""
        span = self.start(name, kind, parent, attributes=attributes)
        with being_current(span):
            try:
                yield span
            except (Refused, Denied):  # answers
                raise
            except BaseException as error:
                fail(span, type(error).__name__)
                raise
            finally:
                span.end()


def _encodable(text: str) -> str:
    """Without halves of surrogate pairs, which ``json.loads`` lets through: for one of them the
    exporter would lose all spans that it sends together.
    """
    return text.encode(errors="replace").decode()


def fail(span: Span, why: str) -> None:
    """It has come to nothing. ``why``: one of few, as the type of an error is; never its text."""
    span.set_attribute(ERROR, why)
    span.set_status(StatusCode.ERROR)


@contextmanager
def being_current(span: Span) -> Iterator[None]:
    """What begins within the block are children of it."""
    token = current.attach(trace.set_span_in_context(span))
    try:
        yield
    finally:
        current.detach(token)


def carried(span: Span | None = None) -> TraceContext | None:
    """What others are told of a span, or of the current one; None: it is not sampled."""
    said = (trace.get_current_span() if span is None else span).get_span_context()
    if not (said.is_valid and said.trace_flags.sampled):
        return None
    state = said.trace_state.to_header() if said.trace_state else ""
    return trace_context.write(
        ParentSpan(said.trace_id, said.span_id, int(said.trace_flags), state)
    )


def following(told: TraceContext) -> Context:
    """Below what ``carried`` has said elsewhere; a root if it is none."""
    parent = trace_context.read(told)
    if parent is None:
        return ROOT
    state = TraceState.from_header([parent.tracestate]) if parent.tracestate else None
    span_context = SpanContext(
        parent.trace_id,
        parent.span_id,
        is_remote=True,
        trace_flags=trace.TraceFlags(parent.flags),
        trace_state=state,
    )
    return trace.set_span_in_context(NonRecordingSpan(span_context), Context())


def of_request(headers: Headers) -> Context:
    """Below the span that a request names; a root if it names none."""
    parents = headers.getlist("traceparent")
    if len(parents) != 1:
        return ROOT
    return following(TraceContext(parents[0], ",".join(headers.getlist("tracestate"))))
