"""How long a link waits in silence before it asks: by the round trip, and ever longer.

Pure: durations in seconds.
"""

from __future__ import annotations

from typing import Final

SILENCE_S: Final = 1.0  # at least: a worker's loop may block for half a second, and nothing is lost
LONGEST_SILENCE_S: Final = 4.0
NOBODY_S: Final = 0.1


class RetransmitTimer:
    """One link's.

    Attributes:
        silence_s: For how long the peer may be silent now.
        grown: That, or what follows ``nobody``, is longer than it need be once it is heard.
        round_trip_s: Smoothed; None until it was measured.
    """

    __slots__ = ("_calm_s", "_nobody_s", "_wander_s", "grown", "round_trip_s", "silence_s")

    def __init__(self) -> None:
        self.round_trip_s: float | None = None
        self._wander_s = 0.0
        self.silence_s = self._calm_s = SILENCE_S
        self._nobody_s = NOBODY_S
        self.grown = False

    def calm(self) -> float:
        """The peer was heard. Returns for how long it may be silent now."""
        if self.grown:
            self.silence_s, self._nobody_s = self._calm_s, NOBODY_S
            self.grown = False
        return self.silence_s

    def grow(self) -> float:
        """The silence is over: the next is twice as long. Returns how long."""
        self.silence_s = min(2 * self.silence_s, LONGEST_SILENCE_S)
        self.grown = True
        return self.silence_s

    def nobody(self) -> float:
        """A PUBLISH reached nobody: how soon to look again, later each time."""
        self.grown = True
        soon, self._nobody_s = self._nobody_s, min(2 * self._nobody_s, LONGEST_SILENCE_S)
        return soon

    def measured(self, round_trip_s: float) -> None:
        """Take a round trip in, as TCP does (RFC 6298): with the delay of the acknowledgement."""
        round_trip_s = max(0.0, round_trip_s)
        if self.round_trip_s is None:
            self.round_trip_s, self._wander_s = round_trip_s, round_trip_s / 2
        else:
            off = round_trip_s - self.round_trip_s
            self._wander_s += (abs(off) - self._wander_s) / 4
            self.round_trip_s += off / 8
        wanted_s = self.round_trip_s + 4 * self._wander_s
        self._calm_s = min(max(SILENCE_S, wanted_s), LONGEST_SILENCE_S)
        if not self.grown:
            self.silence_s = self._calm_s
