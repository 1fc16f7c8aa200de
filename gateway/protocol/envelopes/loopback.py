"""What a worker sends itself through the broker."""

from __future__ import annotations

from gateway.protocol.envelopes.kinds import Envelope, register


@register
class Probe(Envelope, tag=10, frozen=True):
    """To oneself: the subscription still delivers."""

    token: int
