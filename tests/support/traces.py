"""Spans of the gateways of this process, kept in memory by the SDK's own exporter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import SpanContext

from gateway.protocol.trace_context import TraceContext
from tests.support.waiting import eventually

# Of a span that is sampled, and nobody has.
TOLD = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Chosen(Sampler):
    """Samples traces as ``root`` says now, and what has a parent as its parent."""

    def __init__(self) -> None:
        self.root: Sampler = ALWAYS_ON

    def should_sample(self, *given: object, **more: object) -> SamplingResult:
        sampled: SamplingResult = ParentBased(self.root).should_sample(*given, **more)  # type: ignore[arg-type]
        return sampled

    def get_description(self) -> str:
        return "Chosen"


class Traces:
    """What was exported since it was cleared.

    Args:
        everywhere: Of all gateways of this process: once, and for good.

    Attributes:
        provider: Where spans go.
        sampler: Which traces are.
    """

    def __init__(self, *, everywhere: bool) -> None:
        self.sampler = Chosen()
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=self.sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        if everywhere:
            trace.set_tracer_provider(self.provider)

    def clear(self) -> None:
        self.sampler.root = ALWAYS_ON
        self._exporter.clear()

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    async def ended(self, name: str) -> ReadableSpan:
        """The first of this name, once it has ended."""
        await eventually(lambda: self.named(name), f"the span {name}")
        return self.named(name)[0]

    def trace_of(self, span: ReadableSpan) -> list[ReadableSpan]:
        """All spans that are in the trace of this one."""
        wanted = context_of(span).trace_id
        return [each for each in self.spans if context_of(each).trace_id == wanted]


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def paths(spans: Iterable[ReadableSpan], say: Callable[[ReadableSpan], str]) -> set[str]:
    """Each span as its way from the root, ``a > b > c``."""
    by_id = {context_of(span).span_id: span for span in spans}

    def path(span: ReadableSpan) -> str:
        parent = by_id.get(span.parent.span_id) if span.parent is not None else None
        return say(span) if parent is None else f"{path(parent)} > {say(span)}"

    return {path(span) for span in by_id.values()}
