"""What workers tell all others of themselves and of each other: hints to look at the leases."""

from __future__ import annotations

from gateway.protocol.envelopes.kinds import Envelope, register
from gateway.protocol.ids import WorkerId


@register
class Arrived(Envelope, tag=11, frozen=True):
    """To all: a worker has registered. A hint to look at the leases now."""

    worker: WorkerId


@register
class Leaving(Envelope, tag=12, frozen=True):
    """To all: a worker drains; send it no new work. Its lease says so too."""

    worker: WorkerId


@register
class Gone(Envelope, tag=13, frozen=True):
    """To all: a worker has left, or is fenced."""

    worker: WorkerId
