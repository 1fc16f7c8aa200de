"""What the runner makes of an application's decision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway import Admit, Connection, Message
from gateway.handlers.runner import Runner
from gateway.handlers.table import Handlers
from gateway.metrics import Counters
from gateway.protocol.envelope import (
    Admitted,
    Answer,
    Dispatch,
    DispatchConnect,
    Facts,
    Introduce,
    Reply,
)
from gateway.protocol.ids import ConnectionId, WorkerId
from tests.support.waiting import eventually

EDGE = WorkerId("edgeedgeedgeedge")
NAME = ConnectionId("edgeedgeedgeedge.AAAAAAAAAAAAAAAAAAAAAA")
UNTIL = 2_000_000_000.0


class Heard:
    """Keeps the answers that would go to an edge."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def answer(self, edge: WorkerId, answer: Answer) -> None:
        self.answers.append(answer)

    def congested(self, edge: WorkerId) -> bool:
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
        runner.introduce(EDGE, Introduce(NAME, Facts(None, "", "", (), ())))
        runner.dispatch(EDGE, DispatchConnect(NAME, 1, 1))
        await eventually(lambda: heard.answers, "the decision")

    assert heard.answers == [Admitted(NAME, 1, 1, "ann", UNTIL)]


async def test_the_worker_that_decided_knows_the_end() -> None:
    heard = Heard()
    async with running(telling_its_end(), heard) as runner:
        runner.introduce(EDGE, Introduce(NAME, Facts(None, "", "", (), ())))
        runner.dispatch(EDGE, DispatchConnect(NAME, 1, 1))
        runner.dispatch(EDGE, Dispatch(NAME, 2, 1, "hello"))
        await eventually(lambda: len(heard.answers) == 2, "the answer")

    assert heard.answers[1] == Reply(NAME, 2, 1, f"ann until {UNTIL}")


async def test_a_worker_that_did_not_decide_learns_the_end_with_the_introduction() -> None:
    heard = Heard()
    async with running(telling_its_end(), heard) as runner:
        runner.introduce(EDGE, Introduce(NAME, Facts("ann", "", "", (), (), UNTIL)))
        runner.dispatch(EDGE, Dispatch(NAME, 2, 1, "hello"))
        await eventually(lambda: heard.answers, "the answer")

    assert heard.answers == [Reply(NAME, 2, 1, f"ann until {UNTIL}")]
