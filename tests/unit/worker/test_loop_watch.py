"""Whoever holds the event loop is named, and how late the loop was is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.metrics import Counters
from gateway.worker.loop_watch import HELD_S, LoopWatch
from tests.support.logs import capture_logs
from tests.support.waiting import eventually

Events = list[dict[str, Any]]


def below(seconds: float) -> None:
    time.sleep(seconds)


async def handler(seconds: float) -> None:
    below(seconds)


async def entry(seconds: float) -> None:
    await handler(seconds)


@asynccontextmanager
async def watched(counters: Counters) -> AsyncIterator[Events]:
    task = asyncio.create_task(LoopWatch(counters, entry=entry.__code__).run())
    try:
        with capture_logs() as events:
            await eventually(lambda: sum(counters.loop_lag_seconds.counts), "a beat")
            yield events
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_handler_that_holds_the_loop_is_named_with_the_line_that_took_the_time() -> None:
    """Red without the thread: once the loop turns again, nobody knows what held it."""
    counters = Counters()
    async with watched(counters) as events:
        await entry(HELD_S + 0.02)
        await eventually(lambda: events, "a word of it")

    [said] = events
    assert (said["event"], said["log_level"]) == ("loop held", "warning")
    assert said["held_s"] >= HELD_S
    assert said["handler"].startswith("worker/test_loop_watch.py:")
    assert said["handler"].endswith(" handler")
    assert said["at"].endswith(" below")
    assert counters.loop_lag_seconds.total >= HELD_S - 0.1


async def test_what_holds_the_loop_outside_of_handlers_has_a_line_too() -> None:
    async with watched(Counters()) as events:
        below(HELD_S + 0.02)
        await eventually(lambda: events, "a word of it")

    assert events[0]["handler"] is None
    assert events[0]["at"].endswith(" below")


async def test_the_same_place_is_named_once_in_a_while() -> None:
    counters = Counters()
    async with watched(counters) as events:
        for _ in range(3):
            await entry(HELD_S + 0.02)
            beats = sum(counters.loop_lag_seconds.counts)
            await eventually(lambda: sum(counters.loop_lag_seconds.counts) > beats, "a beat")  # noqa: B023

    assert len([e for e in events if e["handler"]]) == 1
