"""Leaving on purpose, slowly: sockets are closed one by one, so that their clients do not come back
all in the same second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

SHARE_FOR_CLOSING: Final = 0.8  # of the window; the rest is for what was begun
SLOWEST_PER_S: Final = 10.0  # fewer a second would spare nobody and only take longer
POLL_S: Final = 0.05


class Leaver(Protocol):
    """A connection that can be drained."""

    ended: asyncio.Future[None]

    def drain(self) -> None:
        """Read no more; close once everything is answered."""
        ...

    def close_drained(self) -> None:
        """Close now, answered or not."""
        ...


async def drain_connections(
    leavers: Sequence[Leaver], *, window_s: float, answers_come: bool
) -> None:
    """Close every connection within ``window_s``, evenly spread, each after its last answer.

    Args:
        answers_come: False when others have taken over: then nothing is worth waiting for.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    spread_s = min(SHARE_FOR_CLOSING * window_s, len(leavers) / SLOWEST_PER_S)
    for place, leaver in enumerate(leavers):
        due = start + spread_s * place / len(leavers)
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        if answers_come:
            leaver.drain()
        else:
            leaver.close_drained()
    await _ended(leavers, start + window_s)
    rest = [leaver for leaver in leavers if not leaver.ended.done()]
    for leaver in rest:
        leaver.close_drained()
    await _ended(rest, loop.time() + min(1.0, window_s))


async def until(condition: Callable[[], bool], deadline: float) -> bool:
    """Wait for a condition of this process, until ``deadline`` in loop time. Whether it came."""
    loop = asyncio.get_running_loop()
    while not condition():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def _ended(leavers: Iterable[Leaver], deadline: float) -> None:
    waiting = [leaver.ended for leaver in leavers if not leaver.ended.done()]
    if waiting:
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        await asyncio.wait(waiting, timeout=left_s)
