"""What a request says of the trace that it belongs to, and what of that counts.

Whoever reaches the gateway can say anything. As the parent of a span it would decide, at samplers
that ask their parents, what is sampled and paid for, and put spans into the traces of others.
"""

from __future__ import annotations

from typing import Literal

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from gateway.tracing.tracing import ROOT, Attributes, Headers, Tracing, of_request

OfStrangers = Literal["link", "parent", "ignore"]


class Incoming:
    """Begins the span of each request.

    Args:
        of_strangers: What the span that a request names is to the one that begins, where nothing
            vouches for the request.
    """

    def __init__(self, tracing: Tracing, of_strangers: OfStrangers) -> None:
        self._tracing = tracing
        self._of_strangers = of_strangers

    def start(
        self,
        name: str,
        headers: Headers,
        attributes: Attributes,
        *,
        known: bool = False,
        at_unix_ns: int | None = None,
    ) -> Span:
        """Begin it; whoever does so ends it. ``known``: a key or a signature vouches for it."""
        parent, link = ROOT, None
        if known or self._of_strangers == "parent":
            parent = of_request(headers)
        elif self._of_strangers == "link":
            named = trace.get_current_span(of_request(headers)).get_span_context()
            link = named if named.is_valid else None
        return self._tracing.start(
            name,
            SpanKind.SERVER,
            parent,
            link=link,
            attributes=attributes,
            at_unix_ns=at_unix_ns,
        )
