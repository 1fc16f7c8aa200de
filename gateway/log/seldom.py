"""What may come without end, and is logged now and then."""

from __future__ import annotations

from collections.abc import Callable


class Seldom:
    """Says when it is time to log an event again, and how often it has come since.

    Args:
        each_s: At most once in so long.
        now: Monotonic seconds.
    """

    def __init__(self, each_s: float, now: Callable[[], float]) -> None:
        self._each_s = each_s
        self._now = now
        self._told_at: float | None = None
        self._untold = 0

    def again(self) -> int:
        """It has come once more. How often since it was last logged; 0: do not log it now."""
        self._untold += 1
        now = self._now()
        if self._told_at is not None and now - self._told_at < self._each_s:
            return 0
        untold, self._told_at, self._untold = self._untold, now, 0
        return untold
