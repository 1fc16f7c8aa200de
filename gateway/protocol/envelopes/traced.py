"""What is dispatched or sent as a part of a trace: as without, and the span that it follows from.

Only workers that trace are told (``gateway.protocol.members.WorkerInfo.traces``), and only where
the trace is sampled: all others read what they have always read.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from gateway.protocol.envelopes.dispatching import Dispatch, DispatchConnect, DispatchDisconnect
from gateway.protocol.envelopes.hooks import DispatchHook
from gateway.protocol.envelopes.kinds import register
from gateway.protocol.envelopes.requests_to_owners import Send
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


_KINDS: Final = (
    TracedDispatch,
    TracedDispatchConnect,
    TracedDispatchDisconnect,
    TracedDispatchHook,
    TracedSend,
)
_TRACED: Final[dict[type, Any]] = {kind.__bases__[0]: kind for kind in _KINDS}
_Plain = TypeVar(
    "_Plain", bound=Dispatch | DispatchConnect | DispatchDisconnect | DispatchHook | Send
)


def traced(envelope: _Plain, trace: TraceContext) -> _Plain:
    """The same envelope as one of this module, with ``trace``."""
    fields = (getattr(envelope, name) for name in envelope.__struct_fields__)
    made: _Plain = _TRACED[type(envelope)](*fields, trace)
    return made
