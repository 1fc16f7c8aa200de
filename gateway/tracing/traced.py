"""The variants that trace, of one worker."""

from __future__ import annotations

from functools import partial
from typing import Final

from gateway.protocol.ids import WorkerId
from gateway.settings.version import __version__
from gateway.tracing.commands import TracedClientRequests
from gateway.tracing.connections import ConnectionTraces
from gateway.tracing.dispatcher import TracedDispatcher
from gateway.tracing.incoming import Incoming, OfStrangers
from gateway.tracing.invocation import TracedInvocation
from gateway.tracing.provider import flush, provide
from gateway.tracing.publications import TracedFanOut, TracedPublisher
from gateway.tracing.requests import ApiCalls, TracedEndpoint
from gateway.tracing.sends import (
    TracedLinkTransport,
    TracedOwnerReceipts,
    TracedRequestsToOwners,
)
from gateway.tracing.tracing import Tracing
from gateway.tracing.variants import Variants

TRACER: Final = "gateway"


def traced_variants(me: WorkerId, of_strangers: OfStrangers) -> Variants:
    """All of them, exporting to the provider of this process.

    Raises:
        ConfigError: The exporter that is wanted is not installed.
    """
    provider = provide(me)
    tracing = Tracing(provider.get_tracer(TRACER, __version__), me)
    incoming = Incoming(tracing, of_strangers)
    connections = ConnectionTraces()
    return Variants(
        link_transport=TracedLinkTransport,
        requests_to_owners=partial(TracedRequestsToOwners, tracing),
        owner_receipts=partial(TracedOwnerReceipts, tracing),
        fan_out=partial(TracedFanOut, tracing),
        publisher=partial(TracedPublisher, tracing),
        invocation=partial(TracedInvocation, tracing),
        dispatcher=partial(TracedDispatcher, tracing, connections),
        endpoint=partial(TracedEndpoint, incoming),
        client_requests=partial(TracedClientRequests, tracing, connections),
        api_call=ApiCalls(incoming),
        flush=partial(flush, provider),
        traces=True,
    )
