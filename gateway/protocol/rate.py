"""How many a second: a token bucket that holds one second's worth."""

from __future__ import annotations


class Rate:
    """Allows ``per_second`` events a second on average, and as many at once after a quiet second.

    No clock: ``now`` is monotonic seconds and never decreases.
    """

    __slots__ = ("_at", "_per_second", "_tokens")

    def __init__(self, per_second: float, *, now: float) -> None:
        self._per_second = per_second
        self._tokens = max(1.0, per_second)
        self._at = now

    def allow(self, now: float) -> bool:
        """Count one event. False: it is one too many, and it was not counted."""
        full = max(1.0, self._per_second)
        self._tokens = min(full, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
