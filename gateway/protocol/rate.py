"""How many a second: never more at once than one second's worth."""

from __future__ import annotations


class Rate:
    """Allows ``per_second`` events a second on average, and as many at once after a quiet second.

    No clock: ``now`` is monotonic seconds and never decreases.

    Attributes:
        most: How many are allowed at once after a quiet second; more than that never are.
    """

    __slots__ = ("_at", "_per_second", "_tokens", "most")

    def __init__(self, per_second: float, *, now: float) -> None:
        self._per_second = per_second
        self.most = self._tokens = max(1.0, per_second)
        self._at = now

    def allow(self, now: float, count: int = 1) -> bool:
        """Count events that come at once. False: too many, and none of them was counted."""
        self._tokens = min(self.most, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < count:
            return False
        self._tokens -= count
        return True


def counted(at: float, now: float, per_second: float, count: int = 1) -> float:
    """The same in one number, for what idle connections need as well.

    Args:
        at: What this returned last; 0.0 at first.

    Returns:
        When this event was due. It is one too many if that is after ``now``.
    """
    return max(at, now - 1.0) + count / per_second
