"""A handler that cancels the task in which it runs is cancelled itself, and nobody else is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from gateway import Message
from gateway.handlers.definitions import Handlers
from gateway.handlers.runner import Runner
from gateway.metrics import Counters
from gateway.protocol.envelopes.dispatching import (
    Answer,
    ConnectionFacts,
    Dispatch,
    Failed,
    Introduce,
    Reply,
)
from gateway.protocol.ids import ConnectionId, WorkerId
from tests.support.waiting import eventually

EDGE = WorkerId("edgeedgeedgeedge")
NAMES = [ConnectionId(f"edgeedgeedgeedge.{letter * 22}") for letter in "ABCDEF"]
CONCURRENCY = 2


class Heard:
    crowded: frozenset[WorkerId] = frozenset()

    def __init__(self) -> None:
        self.answers: dict[ConnectionId, Answer] = {}

    def answer(self, edge: WorkerId, answer: Answer) -> str | None:
        self.answers[answer.connection] = answer
        return None

    def congested(self, edge: WorkerId, connection: str) -> bool:
        return False


@asynccontextmanager
async def running(
    on_message: Callable[[Message], Awaitable[str]], *, seconds: float = 5.0
) -> AsyncIterator[tuple[Runner, Heard]]:
    handlers, heard = Handlers(), Heard()
    handlers.set("on_message", on_message)
    runner = Runner(
        handlers, heard, Counters(), seconds=seconds, concurrency=CONCURRENCY, now=time.monotonic
    )
    task = asyncio.create_task(runner.run())
    try:
        for name in NAMES:
            runner.introduce(EDGE, Introduce(name, ConnectionFacts(None, "", "", (), ())))
        yield runner, heard
    finally:
        task.cancel()
        ended, _ = await asyncio.wait([task], timeout=5)
        assert ended


def kinds(heard: Heard) -> list[type]:
    return [type(heard.answers[name]) for name in NAMES if name in heard.answers]


def cancel_own_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def answer(message: Message) -> str:
    """``cancel`` at once, ``wait`` then, and in the end answer; ``hang`` for ever."""
    for word in message.text.split():
        match word:
            case "cancel":
                cancel_own_task()
            case "wait":
                await asyncio.sleep(0.001)
            case "swallow":
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.001)
            case "hang":
                await asyncio.sleep(3600)
    return message.text


async def all_answered(texts: list[str]) -> list[type]:
    async with running(answer) as (runner, heard):
        for name, text in zip(NAMES, texts, strict=True):
            runner.dispatch(EDGE, Dispatch(name, 1, 1, text))
        await eventually(lambda: len(heard.answers) == len(NAMES), "all answers")
        before = kinds(heard)
        heard.answers.clear()
        for name in NAMES:  # the pool is as large as it was
            runner.dispatch(EDGE, Dispatch(name, 2, 1, "wait"))
        await eventually(lambda: len(heard.answers) == len(NAMES), "all answers once more")
        assert kinds(heard) == [Reply] * len(NAMES)
        return before


async def test_who_cancels_itself_behind_one_that_did_not_wait_has_failed_too() -> None:
    """Red when what another has left of the task is told from it only then: its own is lost."""
    found = await all_answered(["x", "cancel wait", "x", "cancel hang", "x", "wait"])

    assert found == [Reply, Failed, Reply, Failed, Reply, Reply]


async def test_who_cancels_itself_and_waits_has_failed_alone() -> None:
    """Red when that is taken for the end of the worker: none of these is ever answered."""
    found = await all_answered(["cancel wait"] * 3 + ["wait"] * 3)

    assert found == [Failed] * 3 + [Reply] * 3


async def test_who_cancels_itself_and_does_not_wait_cancels_no_other() -> None:
    """Red when the cancellation waits in the task of the pool for whoever waits there next."""
    assert await all_answered(["cancel"] * 3 + ["wait"] * 3) == [Reply] * 6


async def test_who_cancels_itself_in_the_end_cancels_no_other() -> None:
    assert await all_answered(["wait cancel"] * 3 + ["wait"] * 3) == [Reply] * 6


async def test_who_is_the_last_to_cancel_itself_leaves_the_pool_as_it_was() -> None:
    """Red when whoever of the pool waits to be woken is cancelled in its place."""
    async with running(answer) as (runner, heard):
        for number in range(1, 2 * CONCURRENCY + 2):
            runner.dispatch(EDGE, Dispatch(NAMES[0], number, 1, "cancel"))
            await eventually(lambda: NAMES[0] in heard.answers, "the answer")
            del heard.answers[NAMES[0]]
        runner.dispatch(EDGE, Dispatch(NAMES[1], 1, 1, "wait"))
        await eventually(lambda: NAMES[1] in heard.answers, "another answer")

        assert kinds(heard) == [Reply]


async def test_a_cancellation_that_was_swallowed_is_not_remembered() -> None:
    """Some libraries swallow what they cancelled without ``uncancel``. Red when who is cancelled
    later, by its time limit, is taken for a worker that ends.
    """
    async with running(answer, seconds=0.1) as (runner, heard):
        for name in NAMES[:3]:
            runner.dispatch(EDGE, Dispatch(name, 1, 1, "cancel swallow"))
            runner.dispatch(EDGE, Dispatch(name, 2, 1, "cancel swallow hang"))
        await eventually(
            lambda: [getattr(each, "number", 0) for each in heard.answers.values()] == [2, 2, 2],
            "all answers",
        )

        assert kinds(heard) == [Failed] * 3


async def test_a_worker_ends_also_if_a_handler_swallows_that() -> None:
    """Red when the pool goes on after it, and nobody cancels it again."""
    stubborn = asyncio.Event()

    async def swallow(message: Message) -> str:
        stubborn.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return "as if nothing had happened"

    async with running(swallow) as (runner, _):
        runner.dispatch(EDGE, Dispatch(NAMES[0], 1, 1, "text"))
        await asyncio.wait_for(stubborn.wait(), 5)
