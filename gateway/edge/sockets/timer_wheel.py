"""Deadlines of many connections with one timer of the event loop."""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol

from gateway.log import get_logger

log = get_logger(__name__)

NOWHERE: Final = -1


class Due(Protocol):
    """Something with a deadline. Compared by identity."""

    def due(self, slot: int) -> None:
        """The deadline that ``TimerWheel.put`` answered with ``slot`` has come. Must not raise."""
        ...


class TimerWheel:
    """Things by the tick in which they are due.

    A timer of the event loop costs some 200 bytes and a place in a heap; ten thousand idle
    connections have one here, and what is due in the same tick is called in one go.

    Args:
        tick_s: Deadlines come up to so much late, never early.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._slots: dict[int, set[Due]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_slot = NOWHERE

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def put(self, thing: Due, after_s: float) -> int:
        """Have ``thing.due`` called after so many seconds.

        Returns:
            The slot, for ``take``.
        """
        loop = asyncio.get_running_loop()
        slot = math.ceil((loop.time() + after_s) / self._tick_s)
        things = self._slots.get(slot)
        if things is None:
            things = self._slots[slot] = set()
            if self._timer is None or slot < self._timer_slot:
                self._set_timer(loop, slot)
        things.add(thing)
        return slot

    def take(self, thing: Due, slot: int) -> None:
        """Forget the deadline in ``slot``, if it has not come yet."""
        things = self._slots.get(slot)
        if things is not None:
            things.discard(thing)

    def since_s(self, slot: int) -> float:
        """How long ago the deadline in ``slot`` came; to a tick."""
        return max(0.0, asyncio.get_running_loop().time() - slot * self._tick_s)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_slot = slot
        self._timer = loop.call_at(slot * self._tick_s, self._turn)

    def _turn(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time() / self._tick_s
        for slot in sorted(self._slots):
            # uvloop's timers have milliseconds and may be early by less than one.
            if slot > now and slot != self._timer_slot:
                break
            for thing in self._slots.pop(slot):
                try:
                    thing.due(slot)
                except Exception:
                    # The others would never be due, nor would anybody who is put later.
                    log.exception("deadline failed")
        if self._slots and self._timer is None:
            self._set_timer(loop, min(self._slots))
