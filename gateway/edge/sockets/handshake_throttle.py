"""A few handshakes at a time, so that messages get their turns between them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

PER_TURN: Final = 2


class HandshakeThrottle:
    """Lets in so many in each turn of the event loop, in the order in which they came.

    When a thousand clients come at once, the loop reads hundreds of their requests in one turn.
    Begun together, they would hold up each message of everybody else for as long as they all take.
    """

    def __init__(self, per_turn: int = PER_TURN) -> None:
        self._per_turn = per_turn
        self._free = per_turn  # of this turn
        self._waiting: deque[Callable[[], None]] = deque()
        self._turning = False

    def enter(self, begin: Callable[[], None]) -> None:
        """Call ``begin``: now, if nobody waits, or when it is its turn. It must not raise."""
        self._start_turning()
        if self._free:
            self._free -= 1
            begin()
        else:
            self._waiting.append(begin)

    def later(self, begin: Callable[[], None]) -> None:
        """As ``enter``, but never now: what ``begin`` goes on with has had its turn."""
        self._start_turning()
        self._waiting.append(begin)

    def _start_turning(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._free = self._per_turn
        self._turning = bool(self._waiting)
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)
        while self._free and self._waiting:
            self._free -= 1
            self._waiting.popleft()()
