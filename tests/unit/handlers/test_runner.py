"""What the runner makes of an application's decision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Thread

import pytest

from gateway import (
    Admit,
    Call,
    Connection,
    Denied,
    Grant,
    Message,
    Publishing,
    Subscription,
)
from gateway.handlers.definitions import Handlers
from gateway.handlers.queue import AnyDispatch
from gateway.handlers.runner import RUN_S, Runner
from gateway.handlers.unsendable import EXPECTED
from gateway.metrics import Counters
from gateway.protocol.envelopes.dispatching import (
    Admitted,
    Answer,
    ConnectionFacts,
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
    Introduce,
    Reply,
)
from gateway.protocol.envelopes.hooks import DispatchHook
from gateway.protocol.envelopes.wire import encode
from gateway.protocol.hooks import HookKind
from gateway.protocol.ids import ConnectionId, WorkerId
from tests.support.logs import capture_logs
from tests.support.waiting import eventually

EDGE = WorkerId("edgeedgeedgeedge")
NAME = ConnectionId("edgeedgeedgeedge.AAAAAAAAAAAAAAAAAAAAAA")
UNTIL = 2_000_000_000.0


class Heard:
    """Keeps the answers that would go to an edge."""

    crowded: frozenset[WorkerId] = frozenset()

    def __init__(self, why: str | None = None) -> None:
        self.answers: list[Answer] = []
        self._why = why

    def answer(self, edge: WorkerId, answer: Answer) -> str | None:
        self.answers.append(answer)
        return self._why

    def congested(self, edge: WorkerId, connection: str) -> bool:
        return False


@asynccontextmanager
async def running(handlers: Handlers, heard: Heard) -> AsyncIterator[Runner]:
    runner = Runner(handlers, heard, Counters(), seconds=5.0, concurrency=2, now=time.monotonic)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def telling_its_end() -> Handlers:
    """Admits until UNTIL, and answers messages with when that is."""
    handlers = Handlers()

    async def admit(connection: Connection) -> Admit:
        return Admit("ann", UNTIL)

    async def tell(message: Message) -> str:
        return f"{message.connection.user} until {message.connection.expires_at}"

    handlers.set("on_connect", admit)
    handlers.set("on_message", tell)
    return handlers


async def test_an_edge_is_told_until_when_a_connection_is_admitted() -> None:
    heard = Heard()
    async with running(telling_its_end(), heard) as runner:
        runner.introduce(EDGE, Introduce(NAME, ConnectionFacts(None, "", "", (), ())))
        runner.dispatch(EDGE, DispatchConnect(NAME, 1, 1))
        await eventually(lambda: heard.answers, "the decision")

    assert heard.answers == [Admitted(NAME, 1, 1, "ann", UNTIL)]


class Markup(str):
    """As what templates make."""

    __slots__ = ()


async def test_texts_of_a_class_of_their_own_are_told_as_texts() -> None:
    """Red when they are passed on: no envelope carries them, and the worker ended of it."""
    handlers, heard = Handlers(), Heard()

    async def admit(connection: Connection) -> Admit:
        return Admit(Markup("ann"), channels=[Markup("news")])

    async def tell(message: Message) -> str:
        return Markup("<b>hello</b>")

    handlers.set("on_connect", admit)
    handlers.set("on_message", tell)
    async with running(handlers, heard) as runner:
        runner.introduce(EDGE, Introduce(NAME, ConnectionFacts(None, "", "", (), ())))
        runner.dispatch(EDGE, DispatchConnect(NAME, 1, 1))
        runner.dispatch(EDGE, Dispatch(NAME, 2, 1, "hello"))
        await eventually(lambda: len(heard.answers) == 2, "the answers")

    assert heard.answers == [
        Admitted(NAME, 1, 1, "ann", None, ("news",)),
        Reply(NAME, 2, 1, "<b>hello</b>"),
    ]
    for answer in heard.answers:
        encode(answer)


async def test_the_worker_that_decided_knows_the_end() -> None:
    heard = Heard()
    async with running(telling_its_end(), heard) as runner:
        runner.introduce(EDGE, Introduce(NAME, ConnectionFacts(None, "", "", (), ())))
        runner.dispatch(EDGE, DispatchConnect(NAME, 1, 1))
        runner.dispatch(EDGE, Dispatch(NAME, 2, 1, "hello"))
        await eventually(lambda: len(heard.answers) == 2, "the answer")

    assert heard.answers[1] == Reply(NAME, 2, 1, f"ann until {UNTIL}")


async def test_a_worker_that_did_not_decide_learns_the_end_with_the_introduction() -> None:
    heard = Heard()
    async with running(telling_its_end(), heard) as runner:
        runner.introduce(EDGE, Introduce(NAME, ConnectionFacts("ann", "", "", (), (), UNTIL)))
        runner.dispatch(EDGE, Dispatch(NAME, 2, 1, "hello"))
        await eventually(lambda: heard.answers, "the answer")

    assert heard.answers == [Reply(NAME, 2, 1, f"ann until {UNTIL}")]


# What cannot be sent


@pytest.mark.parametrize(
    ("dispatch", "hook", "returned"),
    [
        (Dispatch(NAME, 1, 1, "x"), {"hook": "on_message"}, "str of 9 characters"),
        (
            DispatchConnect(NAME, 1, 1),
            {"hook": "on_connect"},
            "user of 3 characters, 2 channels",
        ),
        (
            DispatchDisconnect(NAME, 1, 1, 1000, ""),
            {"hook": "on_disconnect"},
            "str of 0 characters",
        ),
        (
            DispatchHook(NAME, 1, 1, "subscribe", "room:1"),
            {"hook": "on_subscribe", "channel": "room:1"},
            "Grant with data of 11 B as JSON, and info of 3 B",
        ),
        (
            DispatchHook(NAME, 1, 1, "rpc", "sum"),
            {"hook": "on_rpc", "method": "sum"},
            "a value of 11 B as JSON",
        ),
        (
            DispatchHook(NAME, 1, 1, "publish", "room:1", data=b"1"),
            {"hook": "on_publish", "channel": "room:1"},
            "raised Denied with a message of 2 characters",
        ),
    ],
)
async def test_an_answer_that_cannot_be_sent_is_told_with_its_hook_and_type(
    dispatch: AnyDispatch, hook: dict[str, str], returned: str
) -> None:
    """And with what would be right, and nothing that anybody wrote. Red when it names no hook."""
    handlers, heard = Handlers(), Heard(why="too much")

    async def on_message(_: Message) -> str:
        return "x" * 9

    async def on_connect(_: Connection) -> Admit:
        return Admit("ann", channels=["a", "b"])

    async def on_subscribe(_: Subscription) -> Grant:
        return Grant(data="x" * 9, info="i")

    async def on_publish(_: Publishing) -> None:
        raise Denied(1000, "no")

    async def on_rpc(_: Call) -> str:
        return "x" * 9

    handlers.set("on_message", on_message)
    handlers.set("on_connect", on_connect)
    handlers.hooks.set(HookKind.SUBSCRIBE, "*", on_subscribe)
    handlers.hooks.set(HookKind.PUBLISH, "*", on_publish)
    handlers.hooks.set(HookKind.RPC, "*", on_rpc)
    with capture_logs() as logs:
        async with running(handlers, heard) as runner:
            runner.introduce(EDGE, Introduce(NAME, ConnectionFacts(None, "", "", (), ())))
            runner.dispatch(EDGE, dispatch)
            await eventually(lambda: logs, "the log")

    assert logs == [
        {
            "event": "answer not sendable", "log_level": "error", "connection_id": NAME, **hook,
            "returned": returned, "expected": EXPECTED, "why": "too much",
        }
    ]  # fmt: skip


# Turns of the loop


HANDLER_S = 0.004
CONNECTIONS = 100


class Clock:
    """Time that passes only while a handler works."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def working(clock: Clock, heard: Heard, started_in: list[int]) -> AsyncIterator[Runner]:
    """A runner whose handlers work and never wait; ``started_in`` gets the turn of each."""
    handlers, turn = Handlers(), 0

    async def work(message: Message) -> str:
        started_in.append(turn)
        clock.now_s += HANDLER_S
        return message.text

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    handlers.set("on_message", work)
    runner = Runner(handlers, heard, Counters(), seconds=5.0, concurrency=2, now=clock)
    tasks = [asyncio.create_task(runner.run()), asyncio.create_task(count_turns())]
    for place in range(CONNECTIONS):
        name = ConnectionId(f"{EDGE}.{place:022}")
        runner.introduce(EDGE, Introduce(name, ConnectionFacts(None, "", "", (), ())))
        runner.dispatch(EDGE, Dispatch(name, 1, 1, "work"))
    try:
        yield runner
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_loop_turns_after_a_run_of_handlers_that_do_not_wait() -> None:
    """Red without the end of a run: all of them run in one turn, and no renewal among them."""
    heard, started_in = Heard(), list[int]()
    async with working(Clock(), heard, started_in):
        await eventually(lambda: len(heard.answers) == CONNECTIONS, "all answers")

    at_once = max(started_in.count(turn) for turn in started_in)
    assert 1 < at_once <= RUN_S / HANDLER_S + 1


async def test_no_handler_is_started_once_its_worker_may_not() -> None:
    """Red where only the inbox looks: what had come in before was all handled."""
    clock, heard, started_in = Clock(), Heard(), list[int]()
    lapsed_at = clock() + 0.1
    async with working(clock, heard, started_in) as runner:
        runner.before_run = lambda: runner.hold() if clock() >= lapsed_at else None
        await eventually(lambda: runner._held, "the hold")
        clock.now_s += 1.0
        for _ in range(10):
            await asyncio.sleep(0)
        held_with = len(started_in)
        assert held_with * HANDLER_S <= 0.1 + RUN_S + HANDLER_S

        runner.before_run = lambda: None
        runner.release()
        await eventually(lambda: len(heard.answers) == CONNECTIONS, "the rest")


async def test_a_thread_that_looks_on_sees_which_message_holds_the_loop() -> None:
    handlers, seen = Handlers(), []

    async def hold(message: Message) -> str:
        loop = asyncio.get_running_loop()
        look = Thread(target=lambda: seen.append(runner.at_work(loop)))
        look.start()
        look.join()
        return "well"

    handlers.set("on_message", hold)
    heard = Heard()
    async with running(handlers, heard) as runner:
        runner.introduce(EDGE, Introduce(NAME, ConnectionFacts(None, "", "", (), ())))
        runner.dispatch(EDGE, Dispatch(NAME, 7, 2, "text"))
        await eventually(lambda: heard.answers, "an answer")

        assert seen == [(EDGE, Dispatch(NAME, 7, 2, "text"))]
        assert runner.at_work(asyncio.get_running_loop()) is None
