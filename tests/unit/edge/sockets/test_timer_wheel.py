"""Deadlines on one timer."""

from __future__ import annotations

import asyncio

import pytest

from gateway.edge.sockets.timer_wheel import TimerWheel
from tests.support.waiting import eventually

TICK_S = 0.01


class Noting:
    """Notes when it was due."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.slots: list[int] = []

    def due(self, slot: int) -> None:
        self.at.append(asyncio.get_running_loop().time())
        self.slots.append(slot)


async def test_each_is_due_once_within_a_tick_and_in_order() -> None:
    timers, loop = TimerWheel(TICK_S), asyncio.get_running_loop()
    start, delays = loop.time(), [0.05, 0.02, 0.08, 0.02]
    things = [Noting() for _ in delays]
    slots = [timers.put(thing, delay) for thing, delay in zip(things, delays, strict=True)]
    await eventually(lambda: all(thing.at for thing in things), "the deadlines")

    assert [thing.slots for thing in things] == [[slot] for slot in slots]
    # uvloop's timers have milliseconds
    assert all(t.at[0] >= start + d - 0.002 for t, d in zip(things, delays, strict=True))
    assert things[1].at <= things[0].at <= things[2].at


async def test_what_is_put_later_may_be_due_earlier() -> None:
    timers, early = TimerWheel(TICK_S), Noting()
    timers.put(Noting(), 60)
    timers.put(early, 0.02)

    await eventually(lambda: bool(early.at), "the deadline")


async def test_what_was_taken_out_is_not_due() -> None:
    timers, gone, stays = TimerWheel(TICK_S), Noting(), Noting()
    timers.take(gone, timers.put(gone, 0.02))
    timers.put(stays, 0.03)
    await eventually(lambda: bool(stays.at), "the deadline")

    assert not gone.at


async def test_what_is_due_may_be_put_again() -> None:
    timers = TimerWheel(TICK_S)

    class Again(Noting):
        def due(self, slot: int) -> None:
            super().due(slot)
            timers.put(self, 0.01)

    thing = Again()
    timers.put(thing, 0.01)
    await eventually(lambda: len(thing.at) >= 3, "three times")
    assert len(timers) == 1


async def test_many_have_one_timer() -> None:
    timers, things = (
        TimerWheel(10.0),
        [Noting() for _ in range(1000)],
    )  # no pause is so long
    for thing in things:
        timers.put(thing, 60)

    assert len(timers) == 1000
    assert len(timers._slots) <= 2


async def test_an_error_in_one_deadline_leaves_the_others_due(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Red when nobody else is pinged any more."""
    timers, others = TimerWheel(TICK_S), [Noting() for _ in range(20)]

    class Broken(Noting):
        def due(self, slot: int) -> None:
            raise RuntimeError("broken")

    timers.put(Broken(), 0.02)
    for other in others:
        timers.put(other, 0.02)
    await eventually(lambda: all(other.at for other in others), "the other deadlines")

    assert "deadline failed" in caplog.text
