"""A coroutine in a context of its own, within the task that awaits it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from gateway.handlers.isolation import isolated

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


async def alone(coroutine: Coroutine[Any, Any, Any], context: Context | None = None) -> Any:
    inside = context or copy_context()
    try:
        waits_for = inside.run(coroutine.send, None)
    except StopIteration as end:
        return end.value
    return await isolated(coroutine, inside, waits_for)


async def test_it_returns_what_the_coroutine_returns() -> None:
    async def answer() -> int:
        return 42

    assert await alone(answer()) == 42


async def test_it_returns_what_a_coroutine_that_waits_returns() -> None:
    async def answer() -> str:
        await asyncio.sleep(0)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "later")
        return await future

    assert await alone(answer()) == "later"


async def test_it_raises_what_the_coroutine_raises() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        await alone(fail())


async def test_what_is_awaited_inside_may_raise_there() -> None:
    async def recover() -> str:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, LookupError("here"))
        try:
            await future
        except LookupError as error:
            return f"recovered from {error}"
        return "nothing happened"

    assert await alone(recover()) == "recovered from here"


@pytest.mark.parametrize("waits", [False, True])
async def test_what_it_sets_is_not_seen_outside(*, waits: bool) -> None:
    async def change() -> None:
        if waits:
            await asyncio.sleep(0)
        WHO.set("inside")

    await alone(change())

    assert WHO.get() == "nobody"


async def test_what_it_sets_is_seen_by_itself_after_it_has_waited() -> None:
    async def change() -> str:
        WHO.set("inside")
        await asyncio.sleep(0)
        return WHO.get()

    assert await alone(change()) == "inside"


async def test_what_was_set_outside_meanwhile_is_not_seen_inside() -> None:
    async def look() -> str:
        await asyncio.sleep(0)
        return WHO.get()

    async def change() -> None:
        WHO.set("outside")

    found = asyncio.create_task(alone(look()))
    await change()

    assert await found == "nobody"
    assert WHO.get() == "outside"


async def test_what_it_sets_stays_in_the_context_it_was_given() -> None:
    context = copy_context()

    async def change() -> None:
        await asyncio.sleep(0)
        WHO.set("inside")

    await alone(change(), context)

    assert context[WHO] == "inside"


async def test_a_task_that_it_starts_inherits_its_context() -> None:
    async def who() -> str:
        return WHO.get()

    async def start() -> str:
        WHO.set("inside")
        return await asyncio.create_task(who())

    assert await alone(start()) == "inside"


async def test_the_current_task_is_the_one_that_awaits() -> None:
    async def task() -> asyncio.Task[Any] | None:
        await asyncio.sleep(0)
        return asyncio.current_task()

    assert await alone(task()) is asyncio.current_task()


async def cancelled_while(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Its task, cancelled once it waits and ended."""
    task = asyncio.create_task(alone(coroutine))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task


async def test_cancelling_the_task_cancels_the_coroutine() -> None:
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            seen.append("cleaned up")

    assert (await cancelled_while(wait())).cancelled()
    assert seen == ["cleaned up"]


async def test_a_coroutine_may_answer_while_it_is_cancelled() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return "answered"
        return "never"

    assert (await cancelled_while(stubborn())).result() == "answered"


async def test_a_coroutine_may_go_on_waiting_while_it_is_cancelled() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "went on"

    assert (await cancelled_while(stubborn())).result() == "went on"


async def test_a_time_limit_works_inside() -> None:
    async def limited() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return "too late"
        return "never"

    assert await alone(limited()) == "too late"


def test_closing_it_closes_the_coroutine_in_its_context() -> None:
    seen: list[str] = []
    context = copy_context()
    context.run(WHO.set, "inside")

    async def wait() -> None:
        try:
            await Forever()
        finally:
            seen.append(WHO.get())

    awaiting = alone(wait(), context)
    awaiting.send(None)
    awaiting.close()

    assert seen == ["inside"]


class Forever(Awaitable[None]):
    """Waits for nothing that ever comes, without an event loop."""

    def __await__(self) -> Any:
        yield None
