"""Who holds the event loop: measured by the loop, and named by a thread that looks on meanwhile.

The loop leaves a beat twenty times a second; nothing is done per message. When a beat is late, the
thread looks what the loop's thread is at. Once the loop turns again, the beat says how long it was.
If it does not turn for long, and others will take this worker for dead, the thread reports it.

A worker that starts imports and connects, and nobody is served by it yet: until it is ready, only a
handler is worth a word.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from gateway.log import get_logger
from gateway.metrics import Counters

log = get_logger(__name__)

BEAT_S: Final = 0.05
HELD_S: Final = 0.25
LOOK_AFTER_S: Final = 0.15  # with a beat and a look each 50 ms: before 250 ms are over
SAY_AGAIN_S: Final = 10.0
WARN_WITHOUT_HANDLER_S: Final = 1.0  # below it a busy machine is the cause, more often than not
MAX_PLACES: Final = 100


@dataclass(frozen=True, slots=True)
class Place:
    """Where the loop's thread is: names and lines, no values.

    Attributes:
        handler: The application's handler that runs, and its line; "" when none does.
        at: The line of whatever runs, in the handler or below it.
    """

    handler: str
    at: str


class LoopWatch:
    """Measures and names what holds the loop that runs ``run``.

    Args:
        entry: The code that calls handlers: what it calls is the handler.
        report: Called by the thread with the loop, and for how long it has been held, after
            ``report_after_s`` and again each ``report_again_s``.
        ready: Whether this worker serves anybody. Once it has, its loop is watched.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        entry: CodeType,
        report: Callable[[asyncio.AbstractEventLoop, float], None] = lambda _loop, _held_s: None,
        report_after_s: float = math.inf,
        report_again_s: float = 1.0,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._report = report
        self._report_after_s = report_after_s
        self._report_again_s = report_again_s
        self._counters = counters
        self._entry = entry
        self._ready = ready
        self._was_ready = False
        self._beat_at = 0.0
        self._seen: tuple[float, Place] | None = None  # the beat that was late, and what was seen
        self._said: dict[tuple[Place | None, bool], float] = {}  # for a word, and for a warning
        self._ended = threading.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        self._beat_at = time.monotonic()
        thread = threading.Thread(
            target=self._look_on,
            args=(asyncio.get_running_loop(), threading.get_ident()),
            name="loop watch",
            daemon=True,
        )
        thread.start()
        try:
            while True:
                await asyncio.sleep(BEAT_S)
                self._beat()
        finally:
            self._ended.set()

    def _beat(self) -> None:
        last, self._beat_at = self._beat_at, time.monotonic()
        held_s = self._beat_at - last
        seen = self._seen
        place = seen[1] if seen is not None and seen[0] == last else None
        if self._was_ready:
            self._counters.loop_lag_seconds.observe(max(0.0, held_s - BEAT_S))
        if held_s >= HELD_S and (self._was_ready or (place is not None and place.handler)):
            self._say(held_s, place)
        self._was_ready = self._was_ready or self._ready()

    def _say(self, held_s: float, place: Place | None) -> None:
        named = place is not None and place.handler != ""
        warn = named or held_s >= WARN_WITHOUT_HANDLER_S
        now = self._beat_at
        if now - self._said.get((place, warn), -SAY_AGAIN_S) < SAY_AGAIN_S:
            return
        if len(self._said) >= MAX_PLACES:
            self._said.clear()
        self._said[place, warn] = now
        fields = {} if place is None else {"handler": place.handler or None, "at": place.at}
        if warn:
            log.warning("loop held", held_s=round(held_s, 3), **fields)
        else:
            log.info("loop held", held_s=round(held_s, 3), **fields)

    # The thread

    def _look_on(self, loop: asyncio.AbstractEventLoop, loop_thread: int) -> None:
        report_at = 0.0
        while not self._ended.wait(BEAT_S):
            beat_at, now = self._beat_at, time.monotonic()
            if now - beat_at < LOOK_AFTER_S:
                continue
            if now - beat_at >= self._report_after_s and now >= report_at:
                report_at = now + self._report_again_s
                self._report(loop, now - beat_at)
            # Not again for the same beat: what held the loop first is what made it late.
            if self._seen is None or self._seen[0] != beat_at:
                place = self._place(loop_thread)
                if place is not None and self._beat_at == beat_at:
                    self._seen = beat_at, place

    def _place(self, thread: int) -> Place | None:
        # No frame outlives this call: with it would whatever was held in its variables.
        frame = sys._current_frames().get(thread)  # noqa: SLF001 (documented, for this)
        return None if frame is None else where(frame, self._entry)


def where(frame: FrameType, entry: CodeType) -> Place:
    """What a thread is at, from its innermost frame."""
    handler, inner, outer = "", frame, frame.f_back
    while outer is not None:
        if outer.f_code is entry:
            handler = _line(inner)
            break
        inner, outer = outer, outer.f_back
    return Place(handler, _line(frame))


def _line(frame: FrameType) -> str:
    file = "/".join(Path(frame.f_code.co_filename).parts[-2:])
    return f"{file}:{frame.f_lineno} {frame.f_code.co_name}"
