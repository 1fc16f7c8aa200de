"""Whether this worker may act: the one rule, and what it makes of what becomes of its lease.

A worker that has not renewed its lease for as long as a lease lasts may have been replaced. It
*holds*: it takes nothing from its links and starts no handler, until Redis says what became of it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

from gateway.cluster.loopback_probe import LoopbackProbe
from gateway.log import get_logger
from gateway.protocol.members import Members

log = get_logger(__name__)


class LeaseState(Enum):
    """How a worker stands to its own lease."""

    NOT_REGISTERED = auto()  # its first renewal has not been answered, so hardly anybody knows it
    ACTING = auto()
    HOLDING = auto()  # it has not renewed for a lease: it may have been replaced
    RELEASING = auto()  # it has renewed since, and waits for what is older than that to arrive
    RETIRED = auto()  # its lease is about to go: it starts nothing, and finishes what it sends
    EXPIRED = auto()  # as retired, and it had to hold: it will never act again
    FENCED = auto()  # others have declared it dead


class LeaseEvent(Enum):
    """What may happen to it."""

    RENEWED = auto()  # a renewal was answered
    LAPSED = auto()  # none was for a lease
    PROBE_BACK = auto()  # the probe that was sent after the renewal has come back
    UNREGISTERED = auto()  # a part of the worker has ended
    RETIRED = auto()  # it leaves, and nothing is to begin any more
    FENCED = auto()  # Redis says that others have declared it dead


_S, _E = LeaseState, LeaseEvent

# What is not listed changes nothing. docs/concepts/membership.md shows it; a test compares them.
MOVES: Final[dict[tuple[LeaseState, LeaseEvent], LeaseState]] = {
    (_S.NOT_REGISTERED, _E.RENEWED): _S.ACTING,
    (_S.NOT_REGISTERED, _E.RETIRED): _S.RETIRED,
    (_S.NOT_REGISTERED, _E.FENCED): _S.FENCED,
    (_S.ACTING, _E.LAPSED): _S.HOLDING,
    (_S.ACTING, _E.UNREGISTERED): _S.NOT_REGISTERED,
    (_S.ACTING, _E.RETIRED): _S.RETIRED,
    (_S.ACTING, _E.FENCED): _S.FENCED,
    (_S.HOLDING, _E.RENEWED): _S.RELEASING,
    (_S.HOLDING, _E.RETIRED): _S.EXPIRED,
    (_S.HOLDING, _E.FENCED): _S.FENCED,
    # The probe took longer than the lease: others may have moved on again. The next renewal asks
    # anew.
    (_S.RELEASING, _E.LAPSED): _S.HOLDING,
    (_S.RELEASING, _E.PROBE_BACK): _S.ACTING,
    (_S.RELEASING, _E.UNREGISTERED): _S.HOLDING,
    (_S.RELEASING, _E.RETIRED): _S.EXPIRED,
    (_S.RELEASING, _E.FENCED): _S.FENCED,
    (_S.RETIRED, _E.LAPSED): _S.EXPIRED,
    (_S.RETIRED, _E.FENCED): _S.FENCED,
    (_S.EXPIRED, _E.FENCED): _S.FENCED,
}

# Not registered too: the first who read its lease send before it has the answer itself.
MAY_ACT: Final = frozenset({_S.NOT_REGISTERED, _S.ACTING, _S.RETIRED})
MAY_HANDLE: Final = frozenset({_S.NOT_REGISTERED, _S.ACTING})


class Holdable(Protocol):
    """A part of the worker that can be told to stop, and to go on."""

    def hold(self) -> None: ...

    def release(self) -> None: ...


class LeaseGuard:
    """The lease guard of one worker: keeps the state, and tells the parts that depend on it.

    Args:
        acts: Is held while this worker may not act: what takes from other workers.
        handles: Is held while it may start no handler.

    Attributes:
        state: Changed by events only.
    """

    def __init__(
        self,
        *,
        members: Members,
        loopback_probe: LoopbackProbe,
        acts: Holdable,
        handles: Holdable,
        now: Callable[[], float],
    ) -> None:
        self._members = members
        self._loopback_probe = loopback_probe
        self._acts = acts
        self._handles = handles
        self._now = now
        self.state = LeaseState.NOT_REGISTERED

    @property
    def may_act(self) -> bool:
        """Whether it may take what others send, and touch its sockets for them.

        True within a lease after the last renewal, as ``check_lease`` has last found.
        """
        return self.state in MAY_ACT

    @property
    def may_write(self) -> bool:
        """Whether it may write its entries: what came after a sweep would bring them back.

        The lease alone counts, and now: while the probe is under way, and after it has retired,
        Redis has just said that nobody sweeps it.
        """
        return self.state is not LeaseState.FENCED and not self._members.lapsed(self._now())

    @property
    def is_acting(self) -> bool:
        """Whether it is registered, and may act: it can take new connections."""
        return self.state is LeaseState.ACTING

    @property
    def is_fenced(self) -> bool:
        return self.state is LeaseState.FENCED

    def check_lease(self) -> None:
        """Called often, and before anything is taken from the inbox or handled."""
        if self._members.lapsed(self._now()):
            self._happened(LeaseEvent.LAPSED)

    def renewed(self) -> None:
        """A renewal was answered."""
        held = self.state is LeaseState.HOLDING
        self._happened(LeaseEvent.RENEWED)
        if held:
            # What is older than that probe was sent to a worker that others may have replaced.
            self._loopback_probe.after_next(self._probe_back)

    def unregister(self) -> None:
        """It is not to be used until the next renewal, if there is one: a part of it has ended."""
        self._happened(LeaseEvent.UNREGISTERED)

    def retire(self) -> None:
        """The lease is about to go: what comes from now on is moved by its edge, not run here."""
        self._happened(LeaseEvent.RETIRED)

    def fence(self) -> None:
        """Others have declared this worker dead. It does not come back."""
        self._happened(LeaseEvent.FENCED)

    def _probe_back(self) -> None:
        self.check_lease()
        self._happened(LeaseEvent.PROBE_BACK)

    def _happened(self, event: LeaseEvent) -> None:
        before = self.state
        after = MOVES.get((before, event), before)
        if after is before:
            return
        self.state = after
        if after is LeaseState.HOLDING and before is LeaseState.ACTING:
            log.warning("lease lapsed: handling stops until it is renewed")
        elif before is LeaseState.RELEASING and after is LeaseState.ACTING:
            log.warning("lease renewed: handling goes on")
        for part, may in ((self._acts, MAY_ACT), (self._handles, MAY_HANDLE)):
            if before in may and after not in may:
                part.hold()
            elif after in may and before not in may:
                part.release()
