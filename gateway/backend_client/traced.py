"""The parts of a client that tell the gateway which trace a call belongs to.

Only where the caller has a span that is sampled: anything else is what it is without tracing.
Spans go to the provider of the caller's process; where there is none, the caller's own span is
what the gateway goes on from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, Final

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from gateway.backend_client.receipt_inbox import ClientInbox
from gateway.backend_client.variants import ClientVariants
from gateway.channel_broker.base import Page, Stored
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.errors import BrokerUnavailable, EnvelopeTooLarge
from gateway.messaging.channel_survey import ChannelSurvey, SurveyedChannels
from gateway.messaging.requests_to_users import Found, RequestsToUsers
from gateway.presence.base import PresenceStats
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.envelopes.requests_to_owners import ListChannels, Question, Receipted
from gateway.protocol.envelopes.traced import traced
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.trace_context import TraceContext
from gateway.settings.version import __version__
from gateway.tracing.attributes import DESTINATION
from gateway.tracing.publications import TracedPublisher
from gateway.tracing.sends import TracedRequestsToOwners
from gateway.tracing.tracing import Tracing, carried, following

LEARN_S: Final = 0.5  # that a send waits to learn whether its owner traces


class TracedClientInbox(ClientInbox):
    """A ``ClientInbox`` that tells owners which trace a question belongs to.

    Attributes:
        tracing_owners: Of the workers that lived at the last look, whether they trace. A worker
            that starts anew has another id, so what is known stays true.
    """

    def __init__(self, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.tracing_owners: dict[WorkerId, bool] = {}

    def ask(self, owner: WorkerId, question: Question) -> bool:
        if (
            not isinstance(question, ListChannels)
            and self.tracing_owners.get(owner)
            and (told := carried()) is not None
        ):
            with suppress(EnvelopeTooLarge):  # perhaps it fits without
                return super().ask(owner, traced(question, told))
        return super().ask(owner, question)


class TracedClientRequests(TracedRequestsToOwners):
    """``TracedRequestsToOwners`` of a client, which has no view of the workers: of an owner that it
    does not know, it looks up whether it traces.
    """

    _transport: TracedClientInbox

    def _asking(
        self, name: str, connection: str, channel: str | None = None
    ) -> AbstractContextManager[Span]:
        if not _is_traced():
            return nullcontext(INVALID_SPAN)
        return super()._asking(name, connection, channel)

    async def _asked(self, owner: WorkerId, name: ConnectionId, question: Question) -> Receipted:
        unknown = owner not in self._transport.tracing_owners
        if unknown and not isinstance(question, ListChannels) and _is_traced():
            await self._learn()
        return await super()._asked(owner, name, question)

    async def _learn(self) -> None:
        """Who cannot be asked is taken for one that does not trace."""
        with suppress(BrokerUnavailable, TimeoutError):
            async with asyncio.timeout(LEARN_S):
                leases = await self._looks.fresh()
            self._transport.tracing_owners = {
                worker: info.traces for worker, (_, info) in leases.workers.items()
            }


class TracedClientPublisher(TracedPublisher):
    """A ``TracedPublisher`` that begins no trace of its own."""

    def publish(self, channel: str, data: bytes, **options: Any) -> asyncio.Future[Stored]:
        if not _is_traced():
            return Publisher.publish(self, channel, data, **options)
        return super().publish(channel, data, **options)

    async def page(self, channel: str, **options: Any) -> Page:
        with _reading(self._tracing, "history", channel):
            return await super().page(channel, **options)

    async def remove_history(self, channel: str) -> None:
        with _reading(self._tracing, "remove history", channel):
            await super().remove_history(channel)


class TracedClientUsers(RequestsToUsers):
    """``RequestsToUsers``, a span around each look at the registry."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing

    async def connections(self, user: str) -> Found:
        with _reading(self._tracing, "connections"):
            return await super().connections(user)


class TracedClientSurvey(ChannelSurvey):
    """A ``ChannelSurvey``, a span around each page."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing

    async def page(self, **options: Any) -> SurveyedChannels:
        with _reading(self._tracing, "channels"):
            return await super().page(**options)


class TracedClientPresence(PresenceQuestions):
    """``PresenceQuestions``, a span around each."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing

    async def members(self, channel: str, **options: Any) -> Mapping[str, ClientInfo]:
        with _reading(self._tracing, "presence", channel):
            return await super().members(channel, **options)

    async def stats(self, channel: str) -> PresenceStats:
        with _reading(self._tracing, "presence stats", channel):
            return await super().stats(channel)


def traced_client_variants() -> ClientVariants:
    tracing = Tracing(trace.get_tracer("gateway", __version__), None)
    return ClientVariants(
        inbox=TracedClientInbox,
        requests_to_owners=partial(TracedClientRequests, tracing),
        publisher=partial(TracedClientPublisher, tracing),
        presence=partial(TracedClientPresence, tracing),
        requests_to_users=partial(TracedClientUsers, tracing),
        survey=partial(TracedClientSurvey, tracing),
    )


@contextmanager
def below(traceparent: str, tracestate: str) -> Iterator[None]:
    """The span that is named so is current within the block; none, if it is none."""
    token = current.attach(following(TraceContext(traceparent, tracestate)))
    try:
        yield
    finally:
        current.detach(token)


def _reading(
    tracing: Tracing, name: str, channel: str | None = None
) -> AbstractContextManager[Span]:
    """Around what no owner of a connection is asked, and mostly Redis."""
    if not _is_traced():
        return nullcontext(INVALID_SPAN)
    told = {} if channel is None else {DESTINATION: str(channel)}
    return tracing.span(name, SpanKind.CLIENT, attributes=told)


def _is_traced() -> bool:
    """Whether the caller has a span that is sampled."""
    return trace.get_current_span().get_span_context().trace_flags.sampled
