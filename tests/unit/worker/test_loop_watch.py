"""Whoever holds the event loop is named, and how late the loop was is counted.

The clock is the test's: what a busy machine does not run holds no loop here.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.metrics import Counters
from gateway.worker import loop_watch
from gateway.worker.loop_watch import BEAT_S, HELD_S, WARN_WITHOUT_HANDLER_S, LoopWatch
from tests.support.logs import capture_logs
from tests.support.waiting import eventually

Events = list[dict[str, Any]]
LOOKS_WITHIN_S = 20.0


class Clock:
    """The time by which loops are watched, and who watches."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.watch: LoopWatch | None = None

    def monotonic(self) -> float:
        return self.now


clock = Clock()


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_watch, "time", clock)


def below(seconds: float) -> None:
    """Hold the loop until the thread has looked."""
    watch, end = clock.watch, time.monotonic() + LOOKS_WITHIN_S
    assert watch is not None
    clock.now += seconds
    while watch._seen is None or watch._seen[0] != watch._beat_at:
        assert time.monotonic() < end
        time.sleep(0.005)


async def handler(seconds: float) -> None:
    below(seconds)


async def entry(seconds: float) -> None:
    await handler(seconds)


@asynccontextmanager
async def watched(
    counters: Counters, ready: Callable[[], bool] = lambda: True
) -> AsyncIterator[Events]:
    clock.watch = LoopWatch(counters, entry=entry.__code__, ready=ready)
    task = asyncio.create_task(clock.watch.run())
    try:
        with capture_logs() as events:
            if ready():
                await eventually(lambda: sum(counters.loop_lag_seconds.counts), "a beat")
            else:
                await asyncio.sleep(2 * BEAT_S)  # nothing is to be seen of it
            yield events
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Held:
    """What a handler has in a variable."""


async def test_what_a_handler_had_in_its_variables_is_let_go() -> None:
    """Red where the thread keeps the frame until the loop is held again, which may be never."""

    def holds_one() -> weakref.ref[Held]:
        held = Held()
        below(HELD_S + 0.02)
        return weakref.ref(held)

    async with watched(Counters()) as events:
        left = holds_one()
        while not events:
            left = holds_one()
            await asyncio.sleep(2 * BEAT_S)

        await eventually(lambda: left() is None, "its end")


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


async def test_without_a_handler_a_short_hold_is_no_warning_and_a_long_one_is() -> None:
    """On a busy machine nothing of ours need hold the loop. Red when every hold is a warning, and
    when the word of a short one silences the warning of a long one."""
    async with watched(Counters()) as events:
        for count, held_s in enumerate((HELD_S + 0.02, WARN_WITHOUT_HANDLER_S + 0.02), 1):
            below(held_s)
            await eventually(lambda: len(events) == count, "a word of it")  # noqa: B023

    assert [e["log_level"] for e in events] == ["info", "warning"]
    assert {(e["event"], e["handler"]) for e in events} == {("loop held", None)}


async def test_a_start_that_holds_the_loop_is_not_watched() -> None:
    """Red when the loop is watched from the beginning: imports and connections were warned of."""
    counters = Counters()
    served = False
    async with watched(counters, ready=lambda: served) as events:
        below(WARN_WITHOUT_HANDLER_S + 0.02)
        served = True  # the hold was before it
        await eventually(lambda: sum(counters.loop_lag_seconds.counts), "a beat")
        assert not events
        assert counters.loop_lag_seconds.total < HELD_S

        served = False  # a worker that is not ready any more is watched all the same
        below(WARN_WITHOUT_HANDLER_S + 0.02)
        await eventually(lambda: events, "a word of it")


async def test_a_handler_that_holds_the_loop_during_a_start_is_named() -> None:
    """Another worker may hand over its messages before this one takes connections."""
    async with watched(Counters(), ready=lambda: False) as events:
        await entry(HELD_S + 0.02)
        await eventually(lambda: events, "a word of it")

    assert events[0]["handler"].endswith(" handler")
