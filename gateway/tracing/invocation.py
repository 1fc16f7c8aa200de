"""Handlers, traced: what they do themselves are children of the span in which they run."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as current
from opentelemetry.trace import SpanKind

from gateway.handlers.invocation import Invocation
from gateway.handlers.queue import AnyDispatch, Queue
from gateway.protocol.envelopes.dispatching import Answer, DispatchConnect, DispatchDisconnect
from gateway.protocol.envelopes.hooks import DispatchHook
from gateway.protocol.trace_context import TraceContext
from gateway.tracing.attributes import ATTEMPT, CONNECTION
from gateway.tracing.tracing import UNSAMPLED, Tracing, following


class TracedInvocation(Invocation):
    """An ``Invocation`` in a span, where the edge has sampled what is dispatched."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing

    async def call(self, queue: Queue, dispatch: AnyDispatch) -> Answer:
        told: TraceContext | None = getattr(dispatch, "trace", None)
        if told is None:
            current.attach(UNSAMPLED)  # in a context of its own, which ends with this
            return await super().call(queue, dispatch)
        with self._tracing.span(
            f"handle {_name(dispatch)}",
            SpanKind.CONSUMER,
            following(told),
            attributes={CONNECTION: dispatch.connection, ATTEMPT: dispatch.attempt},
        ):
            return await super().call(queue, dispatch)


def _name(dispatch: AnyDispatch) -> str:
    match dispatch:
        case DispatchHook(kind=kind):
            return kind
        case DispatchConnect():
            return "connect"
        case DispatchDisconnect():
            return "disconnect"
        case _:
            return "message"
