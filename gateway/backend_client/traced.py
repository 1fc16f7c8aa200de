"""The parts of a client that tell the gateway which trace a call belongs to.

Only where the caller has a span that is sampled: anything else is what it is without tracing.
Spans go to the provider of the caller's process; where there is none, the caller's own span is
what the gateway goes on from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

from opentelemetry import context as current
from opentelemetry import trace

from gateway.backend_client.receipt_inbox import ClientInbox
from gateway.backend_client.variants import ClientVariants
from gateway.channel_broker.base import Stored
from gateway.channels.publisher import Publisher
from gateway.errors import BrokerUnavailable, EnvelopeTooLarge
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.protocol.envelopes.requests_to_owners import Question, Send
from gateway.protocol.envelopes.traced import traced
from gateway.protocol.ids import WorkerId, owner_of
from gateway.protocol.receipt import Receipt
from gateway.protocol.trace_context import TraceContext
from gateway.settings.version import __version__
from gateway.tracing.publications import TracedPublisher
from gateway.tracing.sends import TracedRequestsToOwners
from gateway.tracing.tracing import Tracing, carried, following

LEARN_S: Final = 0.5  # that a send waits to learn whether its owner traces


class TracedClientInbox(ClientInbox):
    """A ``ClientInbox`` that tells owners which trace a send belongs to.

    Attributes:
        tracing_owners: Of the workers that lived at the last look, whether they trace. A worker
            that starts anew has another id, so what is known stays true.
    """

    def __init__(self, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.tracing_owners: dict[WorkerId, bool] = {}

    def ask(self, owner: WorkerId, question: Question) -> bool:
        if (
            isinstance(question, Send)
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

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        if not _is_traced():
            return await RequestsToOwners.send(self, connection, text, key=key)
        owner = owner_of(connection)
        if owner is not None and owner not in self._transport.tracing_owners:
            await self._learn()
        return await super().send(connection, text, key=key)

    async def disconnect(self, connection: str, code: int, reason: str) -> Receipt:
        if not _is_traced():
            return await RequestsToOwners.disconnect(self, connection, code, reason)
        return await super().disconnect(connection, code, reason)

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


def traced_client_variants() -> ClientVariants:
    tracing = Tracing(trace.get_tracer("gateway", __version__), None)
    return ClientVariants(
        inbox=TracedClientInbox,
        requests_to_owners=partial(TracedClientRequests, tracing),
        publisher=partial(TracedClientPublisher, tracing),
    )


@contextmanager
def below(traceparent: str, tracestate: str) -> Iterator[None]:
    """The span that is named so is current within the block; none, if it is none."""
    token = current.attach(following(TraceContext(traceparent, tracestate)))
    try:
        yield
    finally:
        current.detach(token)


def _is_traced() -> bool:
    """Whether the caller has a span that is sampled."""
    return trace.get_current_span().get_span_context().trace_flags.sampled
