"""What is dispatched or sent as a part of a trace: as without, and the span that it follows from.

Only workers that trace are told (``gateway.protocol.leases.WorkerInfo.traces``), and only where
the trace is sampled: all others read what they have always read.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from gateway.protocol.envelopes.dispatching import Dispatch, DispatchConnect, DispatchDisconnect
from gateway.protocol.envelopes.hooks import DispatchHook
from gateway.protocol.envelopes.kinds import register
from gateway.protocol.envelopes.requests_to_owners import (
    Disconnect,
    Inquire,
    OwnerQuestion,
    Send,
    SubscribeConnection,
    UnsubscribeConnection,
)
from gateway.protocol.trace_context import TraceContext

NO_TRACE: Final = TraceContext("")


@register
class TracedDispatch(Dispatch, tag=33, frozen=True):
    """A ``Dispatch``."""

    trace: TraceContext = NO_TRACE


@register
class TracedDispatchConnect(DispatchConnect, tag=34, frozen=True):
    """A ``DispatchConnect``."""

    trace: TraceContext = NO_TRACE


@register
class TracedDispatchDisconnect(DispatchDisconnect, tag=35, frozen=True):
    """A ``DispatchDisconnect``."""

    trace: TraceContext = NO_TRACE


@register
class TracedDispatchHook(DispatchHook, tag=36, frozen=True):
    """A ``DispatchHook``."""

    trace: TraceContext = NO_TRACE


@register
class TracedSend(Send, tag=37, frozen=True):
    """A ``Send``."""

    trace: TraceContext = NO_TRACE


@register
class TracedDisconnect(Disconnect, tag=38, frozen=True):
    """A ``Disconnect``."""

    trace: TraceContext = NO_TRACE


@register
class TracedInquire(Inquire, tag=39, frozen=True):
    """An ``Inquire``."""

    trace: TraceContext = NO_TRACE


@register
class TracedSubscribeConnection(SubscribeConnection, tag=40, frozen=True):
    """A ``SubscribeConnection``."""

    trace: TraceContext = NO_TRACE


@register
class TracedUnsubscribeConnection(UnsubscribeConnection, tag=41, frozen=True):
    """An ``UnsubscribeConnection``."""

    trace: TraceContext = NO_TRACE


_KINDS: Final = (
    TracedDispatch,
    TracedDispatchConnect,
    TracedDispatchDisconnect,
    TracedDispatchHook,
    TracedSend,
    TracedDisconnect,
    TracedInquire,
    TracedSubscribeConnection,
    TracedUnsubscribeConnection,
)
_TRACED: Final[dict[type, Any]] = {kind.__bases__[0]: kind for kind in _KINDS}
_Plain = TypeVar(
    "_Plain",
    bound=Dispatch | DispatchConnect | DispatchDisconnect | DispatchHook | OwnerQuestion,
)


def traced(envelope: _Plain, trace: TraceContext) -> _Plain:
    """The same envelope as one of this module, with ``trace``."""
    fields = (getattr(envelope, name) for name in envelope.__struct_fields__)
    made: _Plain = _TRACED[type(envelope)](*fields, trace)
    return made
