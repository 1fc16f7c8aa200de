"""What a worker tells of itself while somebody looks, and in which channel. Pure.

A namespace cannot be called ``@admin``: so no client and no backend gets into this channel, nor
publishes in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

REPORTS: Final = "@admin:reports"
EACH_S: Final = 1.0  # between two reports of a worker
ASKED_EACH_S: Final = 2.0  # who looks says so again
WATCHED_S: Final = 5.0  # so long it is believed: two askings may be lost

# What a worker has become: *fenced* is declared dead, and not swept yet; *gone* has left, or is no
# longer believed in; *swept* is what only its sweeper knows, and the end of it.
WorkerState = Literal["live", "leaving", "fenced", "gone", "swept"]

COUNTED: Final = ("received", "handled", "pushes", "publications", "deliveries")


def is_reserved(channel: str) -> bool:
    """Whether it is a channel of the gateway's own."""
    return channel.startswith("@admin:")


@dataclass(slots=True)
class Reporting:
    """When a worker reports, and when it asks others to. ``now`` is monotonic seconds."""

    _watched_until: float = 0.0
    _reported_at: float | None = None
    _asked_at: float | None = None

    def watched(self, now: float) -> None:
        """Somebody looks."""
        if not self.is_watched(now):
            self._reported_at = None  # the first one comes at once
        self._watched_until = now + WATCHED_S

    def is_watched(self, now: float) -> bool:
        """Whether somebody looks, here or at another worker."""
        return now < self._watched_until

    def must_ask(self, now: float, *, subscribers: int) -> bool:
        """Whether to tell all others now that somebody looks here."""
        if not subscribers:
            self._asked_at = None
            return False
        if self._asked_at is not None and now - self._asked_at < ASKED_EACH_S:
            return False
        self._asked_at = now
        return True

    def must_report(self, now: float) -> bool:
        """Whether to report now."""
        if not self.is_watched(now):
            return False
        # A little early is as good: who keeps house looks in twice as often as it reports.
        if self._reported_at is not None and now - self._reported_at < 0.75 * EACH_S:
            return False
        self._reported_at = now
        return True


@dataclass(slots=True)
class Totals:
    """What a worker has counted since its start, and how fast it does."""

    counted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    _before: dict[str, int] | None = None
    _at: float = 0.0

    def add(self, counted: Mapping[str, int]) -> None:
        for name, count in counted.items():
            self.counted[name] += count

    def rates(self, now: float) -> dict[str, float]:
        """Of each, how many a second since this was asked before; 0 if that was long ago."""
        before, seconds = self._before, now - self._at
        self._before, self._at = dict(self.counted), now
        if before is None or not 0 < seconds < WATCHED_S:
            return dict.fromkeys(COUNTED, 0.0)
        return {name: round((self.counted[name] - before[name]) / seconds, 1) for name in COUNTED}
