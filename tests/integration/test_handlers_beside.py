"""Handlers beside each other: how many run, in which order, and in whose context."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import structlog
from prometheus_client import REGISTRY

from gateway import Connection, Gateway, Message
from tests.integration.applications import Gated
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.integration.dying import kill
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.rawclient import raw_websocket
from tests.support.trace_client import trace_clients
from tests.support.waiting import eventually

who: ContextVar[str] = ContextVar("who", default="nobody")


def running(served: InProcess) -> float | None:
    """What its metrics say."""
    served.worker._housekeeping.fold()
    return REGISTRY.get_sample_value("gateway_handlers_running")


async def test_so_many_handlers_run_at_once_and_one_more_waits(settings: MakeSettings) -> None:
    app = Gated()
    async with (
        in_process(settings(handler_concurrency=3), app.gateway) as served,
        trace_clients(served.ws_url, 4) as clients,
    ):
        asking = [asyncio.create_task(client.ask("x")) for client in clients]
        await eventually(lambda: app.running == 3, "three at once")
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 4, "the fourth")
        assert len(app.started) == 3
        assert running(served) == 3
        assert REGISTRY.get_sample_value("gateway_worker_use_ratio", {"of": "handlers"}) == 1
        app.gate.set()

        assert {answer.text for answer in await asyncio.gather(*asking)} == {"Received:x"}
        assert running(served) == 0


async def test_messages_of_one_connection_run_one_at_a_time(settings: MakeSettings) -> None:
    app = Gated()
    async with in_process(settings(), app.gateway) as served, raw_websocket(served.port) as client:
        client.say("1", "2", "3")
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 3, "all of them")
        await eventually(lambda: app.started, "the first one")
        assert app.started == ["1"]
        app.gate.set()

        assert await client.texts(3) == ["Received:1", "Received:2", "Received:3"]


async def test_a_handler_that_waits_holds_up_nobody_else(settings: MakeSettings) -> None:
    app = Gated()
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> str:
        return await app._echo(message) if message.text == "wait" else message.text

    async with (
        cluster(settings(), 2, [gateway, gateway_like(answer)]) as workers,
        trace_clients(workers[0].ws_url, 6) as clients,
    ):
        waiting = [asyncio.create_task(client.ask("wait")) for client in clients[:3]]
        await eventually(lambda: app.running == 3, "three that wait")

        assert {(await client.ask("go")).text for client in clients[3:]} == {"go"}
        app.gate.set()
        await asyncio.gather(*waiting)


def gateway_like(handler: Any) -> Gateway:
    gateway = Gateway()
    gateway.on_message(handler)
    return gateway


async def test_what_a_handler_sets_in_context_variables_nobody_else_sees(
    settings: MakeSettings,
) -> None:
    gateway = Gateway()

    @gateway.on_connect
    async def connect(connection: Connection) -> None:
        who.set("somebody")

    @gateway.on_message
    async def answer(message: Message) -> str:
        before = who.get()
        who.set(message.text)
        await asyncio.sleep(0)
        return f"{before} {who.get()}"

    async with (
        in_process(settings(), gateway) as served,
        raw_websocket(served.port) as first,
        raw_websocket(served.port) as second,
    ):
        first.say("ann", "bob")
        assert await first.texts(2) == ["nobody ann", "nobody bob"]
        second.say("eve")

        assert await second.texts(1) == ["nobody eve"]


async def test_what_a_middleware_sets_for_one_handshake_no_handler_sees(
    settings: MakeSettings,
) -> None:
    """Red when handlers inherit from whoever happened to need the first of them."""
    gateway = Gateway()

    @gateway.on_connect
    async def connect(connection: Connection) -> str:
        return who.get()

    @gateway.on_message
    async def answer(message: Message) -> str:
        return f"{message.connection.user} {who.get()}"

    inner = gateway.asgi()

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            async with gateway.lifespan():
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        who.set("somebody")
        await inner(scope, receive, send)

    async with (
        in_process(settings(), gateway, app=outer) as served,
        raw_websocket(served.port) as client,
    ):
        client.say("hello")

        assert await client.texts(1) == ["nobody nobody"]


async def test_what_a_handler_logs_names_its_connection(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> str:
        bound = structlog.contextvars.get_contextvars()
        return str(bound == {"connection_id": message.connection.id})

    async with (
        in_process(settings(), gateway) as served,
        raw_websocket(served.port) as first,
        raw_websocket(served.port) as second,
    ):
        for client in (first, second, first):
            client.say("hello")
            assert await client.texts(1) == ["True"]


async def test_what_comes_in_while_handlers_are_stopped_does_no_harm(
    settings: MakeSettings,
) -> None:
    gateway, cancelled, gate = Gateway(), asyncio.Event(), asyncio.Event()

    @gateway.on_message
    async def answer(message: Message) -> str:
        if message.text == "wait":
            try:
                await asyncio.sleep(3600)
            finally:
                cancelled.set()
                await gate.wait()
        return message.text

    async with (
        in_process(settings(), gateway) as served,
        raw_websocket(served.port) as first,
        raw_websocket(served.port) as second,
    ):
        counted = Counted(served)
        second.say("hello")
        await second.texts(1)
        first.say("wait")
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 1, "the first")
        stopping = asyncio.create_task(kill(served))
        await cancelled.wait()
        second.say("too late")
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 2, "the second")
        gate.set()
        await stopping

        assert counted("gateway_envelopes_unreadable_total") == 0
