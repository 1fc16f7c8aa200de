"""When batches leave, and of which of them we want to be told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.broker.memory import MemoryBroker
from gateway.messaging import batch_clock
from gateway.messaging.batch_clock import QUIET_BYTES, BatchClock
from tests.support.waiting import eventually


class Broker(MemoryBroker):
    """One that can be quiet.

    Attributes:
        left: What was published, in order: how, and the payloads.
        prompt: Whether those who are told are told at once. If not, never.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left: list[tuple[str, list[bytes]]] = []
        self.prompt = True
        self.lost = 0

    @property
    def losses(self) -> int:
        return self.lost

    def publish(self, messages: Sequence[tuple[str, Any]]) -> asyncio.Future[list[int]]:
        self.left.append(("told", [payload for _, payload in messages]))
        if self.prompt:
            return super().publish(messages)
        return asyncio.get_running_loop().create_future()

    def publish_quietly(self, channel: str, payload: bytes) -> bool:
        self.left.append(("quiet", [payload]))
        return True


class Waiting:
    """What is to be published, by hand."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.interruptions = 0
        self.owing = False

    def collect(self, *, interrupted: bool) -> Sequence[tuple[str, bytes]]:
        self.interruptions += interrupted
        payloads, self.payloads = self.payloads, []
        return [("channel", payload) for payload in payloads]

    def published(self, receivers: Sequence[int]) -> None:
        pass

    def cannot_leave(self) -> None:
        pass

    def tick(self) -> bool:
        return False


@asynccontextmanager
async def running(broker: Broker, waiting: Waiting) -> AsyncIterator[BatchClock]:
    clock = BatchClock(broker, waiting)
    task = asyncio.create_task(clock.run())
    await asyncio.sleep(0)  # from here on it publishes
    try:
        yield clock
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def leave(clock: BatchClock, waiting: Waiting, broker: Broker, *payloads: bytes) -> None:
    before = len(broker.left)
    waiting.payloads += payloads
    clock.publish_soon()
    await eventually(lambda: len(broker.left) > before, "the batch leaves")
    await eventually(lambda: not clock._under_way or not broker.prompt, "the answer")


async def test_a_small_batch_behind_a_prompt_answer_leaves_quietly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not the first, none that is large, not two at once, and not what is left over of those."""
    monkeypatch.setattr(batch_clock, "QUIET_S", 60.0)
    monkeypatch.setattr(batch_clock, "PROMPT_S", 60.0)
    broker, waiting = Broker(), Waiting()
    large = b"x" * (QUIET_BYTES + 1)
    async with running(broker, waiting) as clock:
        batches = ((b"1",), (b"2",), (large,), (b"3",), (b"4",), (b"5", b"6"), (b"7",), (b"8",))
        for payloads in batches:
            await leave(clock, waiting, broker, *payloads)

    assert broker.left == [
        ("told", [b"1"]),
        ("quiet", [b"2"]),
        ("told", [large]),
        ("told", [b"3"]),
        ("quiet", [b"4"]),
        ("told", [b"5", b"6"]),
        ("told", [b"7"]),
        ("quiet", [b"8"]),
    ]


@pytest.mark.parametrize("limit", ["QUIET_S", "PROMPT_S"])
async def test_it_asks_to_be_told_where_that_was_long_ago_or_took_long(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("QUIET_S", "PROMPT_S"):
        monkeypatch.setattr(batch_clock, name, 0.0 if name == limit else 60.0)
    broker, waiting = Broker(), Waiting()
    async with running(broker, waiting) as clock:
        await leave(clock, waiting, broker, b"1")
        await leave(clock, waiting, broker, b"2")

    assert broker.left == [("told", [b"1"]), ("told", [b"2"])]


async def test_nothing_leaves_quietly_while_an_answer_is_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would leave alone, and what comes together with it is to leave with it."""
    monkeypatch.setattr(batch_clock, "QUIET_S", 60.0)
    broker, waiting = Broker(), Waiting()
    async with running(broker, waiting) as clock:
        await leave(clock, waiting, broker, b"1")
        broker.prompt = False
        await leave(clock, waiting, broker, b"2", b"3")
        waiting.payloads.append(b"4")
        clock.publish_soon()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert broker.left == [("told", [b"1"]), ("told", [b"2", b"3"])]


async def test_what_left_quietly_and_may_be_lost_is_an_interruption() -> None:
    """Nobody waits for an answer, and the next to leave may be long in coming."""
    broker, waiting = Broker(), Waiting()
    waiting.owing = True
    async with running(broker, waiting) as clock:
        await leave(clock, waiting, broker, b"1")
        await leave(clock, waiting, broker, b"2")
        assert waiting.interruptions == 0
        broker.lost += 1
        await eventually(lambda: waiting.interruptions, "the interruption")

    assert waiting.interruptions == 1
