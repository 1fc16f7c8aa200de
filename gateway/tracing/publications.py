"""Publications, traced: by whoever publishes, and once at each worker that has subscribers.

The trace travels behind the body of the publication, where the trace is sampled. Workers that do
not trace skip it, as they skip whatever comes behind what they know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from opentelemetry.trace import SpanKind

from gateway.channel_broker.base import Stored
from gateway.channels.fan_out import FanOut
from gateway.channels.local_channel import LocalChannel
from gateway.channels.publisher import Publisher
from gateway.channels.subscriber import Subscriber
from gateway.protocol.channel_messages import (
    ClientInfo,
    PublicationBody,
    TracedPublicationBody,
    read_publication,
)
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import Publication
from gateway.protocol.trace_context import TraceContext
from gateway.tracing.attributes import DESTINATION, RECIPIENTS
from gateway.tracing.tracing import Tracing, being_current, carried, fail, following

MAX_DELIVERIES: Final = 16  # spans of one run: more would hold the loop up

_read_traced: Final = msgspec.msgpack.Decoder(TracedPublicationBody).decode


class TracedPublisher(Publisher):
    """A ``Publisher``, a span for each publication."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing
        self._body = _body

    def publish(self, channel: str, data: bytes, **options: Any) -> asyncio.Future[Stored]:
        span = self._tracing.start(
            "publish", SpanKind.PRODUCER, attributes={DESTINATION: str(channel)}
        )
        try:
            with being_current(span):
                stored = super().publish(channel, data, **options)
        except BaseException as error:
            fail(span, type(error).__name__)
            span.end()
            raise

        def ended(stored: asyncio.Future[Stored]) -> None:
            if stored.cancelled():
                fail(span, asyncio.CancelledError.__name__)
            elif (error := stored.exception()) is not None:
                fail(span, type(error).__name__)
            span.end()

        if span.is_recording():
            stored.add_done_callback(ended)
        return stored


def _body(data: bytes, info: ClientInfo | None, tags: dict[str, str]) -> PublicationBody:
    told = carried()
    if told is None:
        return PublicationBody(data, info, tags)
    return TracedPublicationBody(data, info, tags, told)


class TracedFanOut(FanOut):
    """A ``FanOut``, a span for each publication that has a trace, however many it is for."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing
        self._read_publication = self._read_traced
        self._traces: list[TraceContext] = []  # of what is being delivered

    def at_once(self, local: LocalChannel, publications: Sequence[Publication]) -> None:
        with self._delivering(local.name, sum(map(len, local.machine.everybody))):
            super().at_once(local, publications)

    def publications(
        self,
        channel: str,
        publications: Sequence[Publication],
        to: Iterable[Collection[ConnectionId]],
        subscribers: Mapping[ConnectionId, Subscriber],
    ) -> None:
        to = list(to)
        with self._delivering(channel, sum(map(len, to))):
            super().publications(channel, publications, to, subscribers)

    def _read_traced(self, payload: bytes) -> PublicationBody:
        try:
            body: TracedPublicationBody = _read_traced(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Perhaps only its trace is none: workers that do not trace would deliver it.
            return read_publication(payload)
        if body.trace is not None and len(self._traces) < MAX_DELIVERIES:
            self._traces.append(body.trace)
        return body

    @contextmanager
    def _delivering(self, channel: str, recipients: int) -> Iterator[None]:
        outer, self._traces = self._traces, []
        began_unix_ns = time.time_ns()
        why = None
        try:
            yield
        except BaseException as error:
            why = type(error).__name__
            raise
        finally:
            traces, self._traces = self._traces, outer
            for told in traces:
                span = self._tracing.start(
                    "deliver publication",
                    SpanKind.CONSUMER,
                    following(told),
                    attributes={DESTINATION: channel, RECIPIENTS: recipients},
                    at_unix_ns=began_unix_ns,
                )
                if why is not None:
                    fail(span, why)
                span.end()
