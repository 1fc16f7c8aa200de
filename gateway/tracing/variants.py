"""Of which classes a worker is made: those that trace, or those that do not even ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from gateway.channels.fan_out import FanOut
from gateway.channels.publisher import Publisher
from gateway.edge.endpoint import SocketEndpoint
from gateway.edge.sessions.centrifuge.requests import ClientRequests
from gateway.handlers.dispatcher import Dispatcher
from gateway.handlers.invocation import Invocation
from gateway.http_api.gate import Around
from gateway.messaging.link_transport import LinkTransport
from gateway.messaging.owner_receipts import OwnerReceipts
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.protocol.ids import WorkerId
from gateway.tracing.environment import check_environment
from gateway.tracing.installed import check_installed

if TYPE_CHECKING:
    from gateway.tracing.incoming import OfStrangers


async def _nothing() -> None:
    """There is nothing to be flushed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """How to make each part of which there is one that traces.

    Attributes:
        api_call: Around each call of the connection API, if anything is.
        flush: Called once at the end of the worker: bounded, and raises nothing.
        traces: What these workers say of themselves: they read what is traced.
    """

    link_transport: Callable[..., LinkTransport] = LinkTransport
    requests_to_owners: Callable[..., RequestsToOwners] = RequestsToOwners
    owner_receipts: Callable[..., OwnerReceipts] = OwnerReceipts
    fan_out: Callable[..., FanOut] = FanOut
    publisher: Callable[..., Publisher] = Publisher
    invocation: Callable[..., Invocation] = Invocation
    dispatcher: Callable[..., Dispatcher] = Dispatcher
    endpoint: Callable[..., SocketEndpoint] = SocketEndpoint
    client_requests: Callable[..., ClientRequests] = ClientRequests
    api_call: Around | None = None
    flush: Callable[[], Awaitable[None]] = _nothing
    traces: bool = False


PLAIN: Final = Variants()


def variants_of(me: WorkerId, *, opentelemetry: bool, of_strangers: str = "link") -> Variants:
    """Those of one worker.

    Args:
        of_strangers: See ``gateway.tracing.incoming.Incoming``.

    Raises:
        ConfigError: It is to trace, and what that takes is not installed; or the environment says
            of traces what cannot be.
    """
    if not opentelemetry:
        return PLAIN
    check_installed()
    check_environment()
    from gateway.tracing.traced import traced_variants  # noqa: PLC0415 (it may not be installed)

    return traced_variants(me, cast("OfStrangers", of_strangers))
