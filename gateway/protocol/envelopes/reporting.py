"""What the worker of an admin page asks of the others."""

from __future__ import annotations

from gateway.protocol.envelopes.kinds import Envelope, register
from gateway.protocol.ids import WorkerId


@register
class Watched(Envelope, tag=22, frozen=True):
    """To a worker: somebody looks at how the workers are. Tell it in the channel of reports, for
    ``gateway.protocol.reports.WATCHED_S``. Only to who says with its lease that it does.
    """

    worker: WorkerId
