"""How much one worker has to handle for us, and whether it may be given more."""

from __future__ import annotations

from typing import Final

MAX_BYTES: Final = 32 << 20
EVENT_BYTES: Final = 256  # what an event costs besides its text
CROWDED_BYTES: Final = 3 * (MAX_BYTES // 4)
SMALL_BYTES: Final = 64 << 10  # who has no more than this there may use the last quarter


class Load:
    """What an edge has given one worker and has no answer for. It lies in that worker's memory.

    Attributes:
        bytes_owed: Of all of it, each with ``EVENT_BYTES``. To be counted up by who gives.
        refused: Somebody was told to wait: to be set by who tells it. Those who have much there
            wait behind them.
    """

    __slots__ = ("bytes_owed", "refused")

    def __init__(self) -> None:
        self.bytes_owed = 0
        self.refused = False

    @property
    def crowded(self) -> bool:
        """Whether ``takes`` may say no."""
        return self.refused or self.bytes_owed >= CROWDED_BYTES

    def takes(self, owed_bytes: int) -> bool:
        """Whether it takes more of somebody who has so much there with that.

        One that is told not may ask again once ``settle`` says so.
        """
        if owed_bytes <= SMALL_BYTES:
            return self.bytes_owed < MAX_BYTES
        return not self.crowded

    def settle(self, size_bytes: int) -> bool:
        """Something is answered. Returns whether those who wait may ask again: not for each one,
        since there may be thousands of them.
        """
        self.bytes_owed -= size_bytes + EVENT_BYTES
        if not self.refused or 2 * self.bytes_owed > MAX_BYTES:
            return False
        self.refused = False
        return True
