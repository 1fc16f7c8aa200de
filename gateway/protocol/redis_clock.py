"""Whether somebody has set Redis' clock, by which leases end. Pure: times are monotonic seconds."""

from __future__ import annotations


class RedisClock:
    """How far Redis' clock is ahead of ours, as far as that is known.

    Args:
        drift_s: By so much it may gain or lose between two looks.
    """

    def __init__(self, *, drift_s: float) -> None:
        self._drift_s = drift_s
        self._ahead_s: tuple[float, float] | None = None  # least, most

    def stepped(self, redis_s: float, *, asked_at: float, now: float) -> bool:
        """Whether it was set since the last look, by more than it may drift.

        It was read between ``asked_at`` and ``now``: how far it is ahead is known to that much, and
        better with every look that is answered faster.
        """
        least, most = redis_s - now, redis_s - asked_at
        if self._ahead_s is not None:
            was_least, was_most = self._ahead_s[0] - self._drift_s, self._ahead_s[1] + self._drift_s
            if least > was_most or most < was_least:
                self._ahead_s = least, most
                return True
            least, most = max(least, was_least), min(most, was_most)
        self._ahead_s = least, most
        return False
