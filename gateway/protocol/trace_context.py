"""Which trace a span belongs to, as it travels: W3C Trace Context, level 1. Pure.

What comes from clients may be anything: what is not exactly a context is none, and is not logged.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_TRACEPARENT: Final = 256  # one of a later version may be longer than the 55 of ours
MAX_TRACESTATE: Final = 512
MAX_MEMBERS: Final = 32

_TRACEPARENT: Final = re.compile(
    r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?"
)
_MEMBER: Final = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


class TraceContext(NamedTuple):
    """The two headers. An empty ``tracestate`` is none."""

    traceparent: str
    tracestate: str = ""


class ParentSpan(NamedTuple):
    """What a ``TraceContext`` says. Neither id is 0; ``flags`` is one byte."""

    trace_id: int
    span_id: int
    flags: int
    tracestate: str


def read(context: TraceContext) -> ParentSpan | None:
    """The parent that is named there; None where it is none. Bad ``tracestate`` is left out."""
    text = context.traceparent
    match = _TRACEPARENT.fullmatch(text) if len(text) <= MAX_TRACEPARENT else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    state = context.tracestate
    return ParentSpan(
        int(trace_id, 16), int(span_id, 16), int(flags, 16), state if _is_state(state) else ""
    )


def write(parent: ParentSpan) -> TraceContext:
    """The other way round. A ``tracestate`` over the bound is left out."""
    state = parent.tracestate if len(parent.tracestate) <= MAX_TRACESTATE else ""
    traceparent = f"00-{parent.trace_id:032x}-{parent.span_id:016x}-{parent.flags:02x}"
    return TraceContext(traceparent, state)


def _is_state(text: str) -> bool:
    """Members with names of their own. Empty ones, which the standard allows, are none of ours."""
    if len(text) > MAX_TRACESTATE:
        return False
    members = [_MEMBER.fullmatch(member.strip(" \t")) for member in text.split(",")]
    names = {member[1] for member in members if member is not None}
    return len(names) == len(members) <= MAX_MEMBERS
