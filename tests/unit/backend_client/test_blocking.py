"""For how long code that waits is let wait, and that its thread ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from gateway.backend_client import blocking
from gateway.backend_client.asynchronous import AsyncClient
from gateway.backend_client.blocking import Client, LoopThread
from gateway.messaging.registry_turns import QUESTION_S, TURN_S
from gateway.messaging.requests_to_owners import PATIENCE_S


class Deadlines:
    """Takes what is asked, and for how long its answer is waited for; asks nothing."""

    def __init__(self) -> None:
        self.within_s: list[float] = []

    def call(self, _ask: Callable[[], Coroutine[Any, Any, Any]], *, within_s: float) -> list[Any]:
        self.within_s.append(within_s)
        return []


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.send_to_user("ann", "hello"),
        lambda client: client.disconnect_user("ann"),
        lambda client: client.connections(user="ann"),
        lambda client: client.channels(),
        lambda client: client.batch([]),
    ],
    ids=["send_to_user", "disconnect_user", "connections", "channels", "batch"],
)
def test_who_waits_for_a_turn_at_the_registry_is_told_what_came_of_it(
    ask: Callable[[Client], object],
) -> None:
    """Red when the caller gives up before: a TimeoutError without a word, of what goes on behind
    its back.
    """
    thread = Deadlines()
    ask(Client(cast("AsyncClient", None), cast("LoopThread", thread)))

    [within_s] = thread.within_s
    assert within_s > TURN_S + QUESTION_S + 2 * PATIENCE_S


class Held:
    """What holds a loop, or a task, until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.begun = threading.Event()
        self.ended = threading.Event()

    def hold(self) -> None:
        self.begun.set()
        self.let_go.wait(10.0)
        self.ended.set()


def test_a_loop_that_something_holds_does_not_hold_who_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red without a bound: whoever leaves hangs for as long as the loop does. Its thread ends once
    it is let go.
    """
    monkeypatch.setattr(blocking, "STOP_S", 0.05)
    thread, held = LoopThread(), Held()
    thread._loop.call_soon_threadsafe(held.hold)
    assert held.begun.wait(10.0)

    thread.stop()

    assert not held.ended.is_set()
    held.let_go.set()
    thread._thread.join(10.0)
    assert thread._loop.is_closed()


def test_a_task_that_takes_no_cancellation_does_not_hold_who_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red without a bound, as above."""
    monkeypatch.setattr(blocking, "STOP_S", 0.05)
    thread, begun, let_go = LoopThread(), threading.Event(), asyncio.Event()

    async def stubborn() -> None:
        try:
            begun.set()
            await asyncio.sleep(10.0)
        finally:
            async with asyncio.timeout(10.0):
                await let_go.wait()

    asked = asyncio.run_coroutine_threadsafe(stubborn(), thread._loop)
    assert begun.wait(10.0)

    thread.stop()

    assert not asked.done()
    thread._loop.call_soon_threadsafe(let_go.set)
    thread._thread.join(10.0)
    assert thread._loop.is_closed()
