"""Whether the broker still delivers to this worker: what its probes say.

*Deaf*: nothing came in for a while although commands are answered; the subscriptions are made anew,
and if that does not help the worker drains. *Away*: commands are not answered either; then sockets
stay and messages wait. Ready again after two probes.

Pure: ``now`` is monotonic seconds.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from gateway.protocol.deadlines import DEAF_S, EAGER_PROBE_S, HOPELESS_S, PROBE_S

PROBES_TO_BE_READY: Final = 2


class Action(Enum):
    """What to do about what was found."""

    NOTHING = auto()
    RESUBSCRIBE = auto()
    DRAIN = auto()


class SubscriptionHealth:
    """One worker's watch over its own subscription."""

    def __init__(self, now: float) -> None:
        self._heard_at = now
        self._back_at = now
        self._answered_since: float | None = None  # None: the last command was not
        self._resubscribed_at: float | None = None
        self._deaf_since: float | None = None
        self._back = 0
        self._answered = False

    @property
    def ready(self) -> bool:
        return self._back >= PROBES_TO_BE_READY

    @property
    def interval_s(self) -> float:
        """Until the next probe. Short while it would make the difference."""
        return PROBE_S if self.ready else EAGER_PROBE_S

    def age_s(self, now: float) -> float:
        """Seconds since the last probe came back, or since the start."""
        return now - self._back_at

    def heard(self, now: float) -> None:
        """Anything at all came in."""
        self._heard_at = now
        self._deaf_since = None

    def back(self, now: float) -> None:
        """A probe came back."""
        self._back_at = now
        self._back += 1

    def published(self, *, answered: bool) -> None:
        """A probe was sent off, or could not be."""
        self._answered = answered
        if not answered:
            self._back = 0
            self._answered_since = None

    def check(self, now: float) -> Action:
        """Called about as often as probes are sent."""
        if now - self._back_at > DEAF_S:
            self._back = 0
        if not self._answered:
            self._deaf_since = None
            return Action.NOTHING
        if self._answered_since is None:
            # Silence counts from here: what was missed while Redis was away says nothing.
            self._answered_since = now
        if now - max(self._heard_at, self._answered_since) <= DEAF_S:
            return Action.NOTHING
        if self._deaf_since is None:
            self._deaf_since = now
        if now - self._deaf_since >= HOPELESS_S:
            return Action.DRAIN
        if self._resubscribed_at is None or now - self._resubscribed_at >= DEAF_S:
            self._resubscribed_at = now
            return Action.RESUBSCRIBE
        return Action.NOTHING
