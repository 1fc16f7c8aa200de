"""A line through one worker or several: the main path."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from gateway import Gateway, Message
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import cluster, in_process
from tests.support.waiting import eventually


async def test_a_line_comes_back_through_the_worker_that_holds_the_socket(
    settings: MakeSettings,
) -> None:
    async with (
        in_process(settings()) as served,
        connect(served.ws_url, compression=None) as client,
    ):
        await client.send("hello")

        assert await client.recv() == "Received:hello"


async def test_with_two_workers_both_handle_for_connections_they_do_not_hold(
    settings: MakeSettings,
) -> None:
    async with cluster(settings(), 2) as workers, AsyncExitStack() as stack:
        remote: set[str] = set()
        for number in range(40):
            client = await stack.enter_async_context(
                connect(workers[number % 2].ws_url, subprotocols=[Subprotocol("gateway.trace.v1")])
            )
            hello = json.loads(await client.recv())
            await client.send(f"line {number}")
            answer = json.loads(await client.recv())
            assert answer["text"] == f"Received:line {number}"
            if answer["handled_by"] != hello["worker"]:
                remote.add(answer["handled_by"])

        assert remote == {s.worker.me for s in workers}


async def test_a_burst_of_one_connection_is_answered_in_order(settings: MakeSettings) -> None:
    async with (
        cluster(settings(), 2) as workers,
        connect(workers[0].ws_url, compression=None) as client,
    ):

        async def send() -> None:
            for number in range(500):
                await client.send(str(number))

        sending = asyncio.create_task(send())
        got = [await client.recv() for _ in range(500)]
        await sending

        assert got == [f"Received:{number}" for number in range(500)]


async def test_how_long_a_client_waits_for_its_answers_is_measured_where_it_waits(
    settings: MakeSettings,
) -> None:
    """All of it: of two messages the second waits for the first, besides its own handling."""
    gateway, both_there = Gateway(), asyncio.Event()

    @gateway.on_message
    async def slow(message: Message) -> str:
        await both_there.wait()
        await asyncio.sleep(0.1)
        return message.text

    async with (
        in_process(settings(), gateway) as served,
        connect(served.ws_url, compression=None) as client,
    ):
        counted = Counted(served)
        await client.send("one")
        await client.send("two")
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 2, "both")
        both_there.set()
        assert [await client.recv(), await client.recv()] == ["one", "two"]

        handling_s = counted("gateway_handler_seconds_sum")
        assert counted("gateway_answer_seconds_count") == 2
        assert counted("gateway_answer_seconds_sum") >= handling_s + 0.09
