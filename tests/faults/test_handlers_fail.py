"""Handlers raise, hang, block, answer too much, kill: the caller is told, nobody else harmed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.faults.conftest import PUSHES, Report
from tests.support.crowd import Crowd
from tests.support.serve import Served
from tests.support.stand import Stand
from tests.support.waiting import eventually

APP = "tests.support.apps.badday:gateway"
CLIENTS = 200


async def split(stand: Stand, handlers: int = 2, **environment: str) -> tuple[Served, list[Served]]:
    """An edge, and handler workers that run the application of bad days."""
    settings = {f"GATEWAY_{name}": value for name, value in environment.items()}
    edge = await stand.serve("--role", "edge", environment=settings)
    served = [
        await stand.serve(APP, "--role", "handler", environment=settings) for _ in range(handlers)
    ]
    await eventually(
        lambda: edge.metric("gateway_handler_workers") == handlers, "handlers seen by the edge"
    )
    return edge, served


def traced(url: str) -> connect:
    return connect(url, subprotocols=[Subprotocol("gateway.trace.v1")], compression=None)


async def ask(socket: ClientConnection, text: str) -> dict[str, Any]:
    await socket.send(text)
    return await hear(socket)


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(30):
        answer: dict[str, Any] = json.loads(await socket.recv())
    return answer


@pytest.mark.parametrize("word", ["raise", "exit"])
async def test_a_handler_that_raises_fails_its_caller_only(
    stand: Stand, report: Report, word: str
) -> None:
    """Red when ``Runner`` lets the error through: it ends the worker."""
    edge, handlers = await split(stand)
    async with (
        Crowd([edge.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd,
        traced(edge.ws_url) as bad,
    ):
        crowd.start_sending()
        await bad.recv()
        for _ in range(50):
            assert await ask(bad, word) == {"error": "handler failed"}
        assert (await ask(bad, "well"))["text"] == "Received:well"
        await crowd.send_for(2)
        ledger = await crowd.stop_sending()

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes
        failures = [e for served in handlers for e in served.events("handler failed")]
        assert len(failures) == 50
        assert all("full" not in json.dumps(e) for e in failures)
        assert all(e["connection_id"] for e in failures)


async def test_a_text_client_of_a_failed_handler_is_closed_with_1011(stand: Stand) -> None:
    """Red when ``ClientConnection`` says nothing: plain text has no words for an error."""
    edge, _ = await split(stand)
    async with asyncio.timeout(20), connect(edge.ws_url, compression=None) as socket:
        await socket.send("raise")
        assert await socket.recv() == "Bye!!!"
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, socket.close_reason) == (1011, "handler failed")


async def test_a_handler_that_hangs_is_cancelled_and_the_next_message_answered(
    stand: Stand, report: Report
) -> None:
    """Red without ``Runner``'s check of the time limit: neither is answered."""
    edge, _ = await split(stand, HANDLER_SECONDS="1")
    async with (
        Crowd([edge.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd,
        traced(edge.ws_url) as bad,
    ):
        crowd.start_sending()
        await bad.recv()
        await bad.send("hang")
        await bad.send("well")
        assert (await hear(bad)) == {"error": "handler failed"}
        assert (await hear(bad))["text"] == "Received:well"
        ledger = await crowd.stop_sending()

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent


async def test_an_answer_of_33_mb_is_refused_where_it_is_made(stand: Stand, report: Report) -> None:
    """One message of 33 MB would cut the edge's subscription.

    Red with a ``MAX_ENVELOPE_BYTES`` that lets it pass.
    """
    edge, _ = await split(stand)
    async with (
        Crowd([edge.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd,
        traced(edge.ws_url) as bad,
    ):
        crowd.start_sending()
        await bad.recv()
        assert await ask(bad, "huge 33000000") == {"error": "handler failed"}
        assert len((await ask(bad, "huge 1000000"))["text"]) == 1_000_000
        await crowd.send_for(2)
        ledger = await crowd.stop_sending()

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert edge.metric("gateway_resyncs_total") == 0


@pytest.mark.parametrize("handler_workers", [2, 3])
async def test_a_handler_that_blocks_its_worker_past_the_lease(
    stand: Stand, report: Report, handler_workers: int
) -> None:
    """Its worker is taken for dead, and what it owes is handled by others; but for that message,
    which would hold them up as well: it is answered with an error.

    Red without ``Dispatcher.worker_gone``: what it owes waits until it wakes up, and is lost. Red
    without ``Dispatcher.blame``: two more workers are fenced.
    """
    edge, handlers = await split(stand, handlers=handler_workers)
    async with (
        Crowd([edge.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd,
        traced(edge.ws_url) as bad,
    ):
        crowd.start_sending()
        await bad.recv()
        await bad.send("well")
        await bad.send("block 14")
        await bad.send("well")
        assert (await hear(bad))["text"] == "Received:well"
        assert await hear(bad) == {"error": "handler failed"}
        assert (await hear(bad))["text"] == "Received:well"
        await crowd.send_for(17)  # what a second one would need to be fenced
        ledger = await crowd.stop_sending()

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes
        assert len([e for s in (edge, *handlers) for e in s.events("worker died")]) == 1
        [said] = [e for s in handlers for e in s.events("handler blocks its worker")]
        assert said["attempt"] == 1


async def test_a_message_that_kills_its_worker_takes_down_three_at_most(
    stand: Stand, report: Report
) -> None:
    """Red with more ``MAX_ATTEMPTS``: it takes down as many."""
    edge, handlers = await split(stand, handlers=4)
    async with (
        Crowd([edge.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd,
        traced(edge.ws_url) as bad,
    ):
        crowd.start_sending()
        await bad.recv()
        assert await ask(bad, "die") == {"error": "handler failed"}
        await eventually(lambda: starts(handlers) == 4 + 3, "three replacements", 15)
        assert (await ask(bad, "well"))["text"] == "Received:well"
        await crowd.send_for(2)
        ledger = await crowd.stop_sending()

        report(ledger)
        assert not ledger.broken
        assert ledger.answered + ledger.errors == ledger.sent
        assert ledger.errors < CLIENTS
        assert not ledger.closes
        assert starts(handlers) == 4 + 3


def starts(handlers: list[Served]) -> int:
    return sum(len(served.events("worker starts")) for served in handlers)


@pytest.mark.alone
async def test_short_handlers_without_a_pause_cost_no_worker_its_lease(
    stand: Stand, report: Report
) -> None:
    """Five seconds of work for each handler worker are waiting, none of it longer than 5 ms.

    Red without ``RUN_S``: no renewal gets a turn, and a worker that works is fenced.
    """
    edge, handlers = await split(stand, LEASE_SECONDS="2")
    async with Crowd([edge.ws_url], 60) as crowd:
        for visitor in crowd.clients:
            for serial in range(32):
                visitor.say(f"work {visitor.number}:{serial}")
        ledger = await crowd.stop_sending(60)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert set(ledger.attempts) == {1}
        assert not ledger.closes
        assert not [e for served in (edge, *handlers) for e in served.events("worker died")]
