"""Channels that a server refuses to subscribe, each asked for again by itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

AGAIN_S: Final = 0.1  # after one channel was refused
LONGEST_AGAIN_S: Final = 30.0


class Denied:
    """Which are refused, or may be; and when each is asked for again, less and less often.

    Args:
        again: Told a channel when it is to be asked for.
    """

    def __init__(self, again: Callable[[bytes], None]) -> None:
        self._again = again
        self._refusals: dict[bytes, int] = {}  # in a row; 0: not that one by itself, so far
        self._timers: dict[bytes, asyncio.TimerHandle] = {}

    def __contains__(self, channel: bytes) -> bool:
        """Whether it is to be asked for with a command of its own."""
        return channel in self._refusals

    def is_refused(self, channel: bytes) -> bool:
        return self._refusals.get(channel, 0) > 0

    def suspect(self, channel: bytes) -> None:
        """It was refused together with others."""
        self._refusals.setdefault(channel, 0)

    def refused(self, channel: bytes) -> None:
        """By itself. Somebody may allow it: it is asked for after a pause."""
        refusals = self._refusals.get(channel, 0)
        self._refusals[channel] = refusals + 1
        after_s = min(LONGEST_AGAIN_S, AGAIN_S * 2.0 ** min(refusals, 10))
        # Many may be denied in one turn.
        self._ask_after(channel, after_s * random.uniform(0.5, 1.0))  # noqa: S311

    def redirected(self, channel: bytes) -> None:
        """It is asked for soon, unless it is given away meanwhile by what is told next."""
        self._ask_after(channel, AGAIN_S)

    def allowed(self, channel: bytes) -> bool:
        """Whether it was refused. Then others may be allowed as well, and are asked for now."""
        was_refused = self.is_refused(channel)
        self.forget(channel)
        if was_refused:
            for other in [other for other in self._timers if self.is_refused(other)]:
                self._cancel(other)
                self._again(other)
        return was_refused

    def forget(self, channel: bytes) -> None:
        self._refusals.pop(channel, None)
        self._cancel(channel)

    def pause(self) -> None:
        """The connection is lost: the next one asks for all."""
        for channel in list(self._timers):
            self._cancel(channel)

    def _ask_after(self, channel: bytes, after_s: float) -> None:
        self._cancel(channel)
        loop = asyncio.get_running_loop()
        self._timers[channel] = loop.call_later(after_s, self._again, channel)

    def _cancel(self, channel: bytes) -> None:
        if (timer := self._timers.pop(channel, None)) is not None:
            timer.cancel()
