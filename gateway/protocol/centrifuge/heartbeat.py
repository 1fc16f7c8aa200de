"""When the server pings, and when a client that does not answer is given up."""

from __future__ import annotations

from enum import Enum
from typing import Final

PING_S: Final = 25
PONG_S: Final = 8.0  # shorter than PING_S


class Beat(Enum):
    PING = "ping"
    NO_PONG = "no pong"


class Heartbeat:
    """Pings every ``ping_s``, and wants each answered within ``pong_s``. Times are monotonic.

    Args:
        first_share: Where in its first interval the first ping comes, 0.5 to 1.0. Random, so that
            clients which came together are not pinged together.
    """

    __slots__ = ("_ping_s", "_pong_by", "_pong_s", "_unanswered", "next_ping_at")

    def __init__(self, *, ping_s: float, pong_s: float, first_share: float, now: float) -> None:
        self._ping_s = ping_s
        self._pong_s = pong_s
        self.next_ping_at = now + first_share * ping_s
        self._pong_by = 0.0
        self._unanswered = 0

    @property
    def due_at(self) -> float:
        """When ``beat`` is to be called next."""
        return min(self._pong_by, self.next_ping_at) if self._unanswered else self.next_ping_at

    def pong(self) -> bool:
        """A pong has come. False: there was no ping without one."""
        if not self._unanswered:
            return False
        self._unanswered -= 1
        return True

    def reads_again(self, now: float) -> None:
        """The socket was not read for a while. A pong may have waited there."""
        self._pong_by = max(self._pong_by, now + self._pong_s)

    def beat(self, now: float, *, reading: bool) -> Beat | None:
        """What is due.

        Args:
            reading: The socket is read. Otherwise its pong may wait there, and gets more time.
        """
        if self._unanswered and not reading:
            self._pong_by = now + self._pong_s
        if self._unanswered and now >= self._pong_by:
            return Beat.NO_PONG
        if now < self.next_ping_at:
            return None
        self.next_ping_at += self._ping_s
        if self.next_ping_at <= now:  # what was missed is not made up for
            self.next_ping_at = now + self._ping_s
        if not self._unanswered:
            self._pong_by = now + self._pong_s
        self._unanswered += 1
        return Beat.PING
