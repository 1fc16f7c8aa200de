"""What workers tell all others of themselves and of each other. Only leases are sure.

A change is told as what has changed, so that those who hear it need not look at all leases for it.
"""

from __future__ import annotations

from gateway.protocol.envelopes.kinds import Envelope, register
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo


@register
class Arrived(Envelope, tag=11, frozen=True):
    """To all: a worker has registered, and says this of itself. None is of a release that did not
    tell: a hint to look at the leases.
    """

    worker: WorkerId
    info: WorkerInfo | None = None


@register
class Leaving(Envelope, tag=12, frozen=True):
    """To all: a worker drains; send it no new work. Its lease says so too."""

    worker: WorkerId


@register
class Gone(Envelope, tag=13, frozen=True):
    """To all: a worker has left, or is fenced. If it was not ``swept``, somebody must do that."""

    worker: WorkerId
    swept: bool = False
