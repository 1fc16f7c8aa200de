"""What the application decides before a socket is accepted, wherever its handlers run."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from gateway import Connection, Gateway, Message, Refused
from gateway.app import create_app
from gateway.edge.handshake import Handshake
from gateway.handlers.definitions import MAX_USER_BYTES
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.integration.listing import entries
from tests.support.inprocess import InProcess, in_process
from tests.support.logs import capture_logs
from tests.support.rawclient import handshake, raw_client, raw_websocket, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


class Door:
    """An application that admits, refuses or breaks, as the query says; and who passed."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.asked: list[Connection] = []
        self.gone: list[Connection] = []
        self.hold: asyncio.Event | None = None
        self.gateway.on_connect(self._connect)
        self.gateway.on_message(self._message)
        self.gateway.on_disconnect(self._disconnect)

    async def _connect(self, connection: Connection) -> Any:
        self.asked.append(connection)
        if self.hold is not None:
            await self.hold.wait()
        match connection.query:
            case "refused":
                raise Refused(4403, "members only")
            case "broken":
                raise RuntimeError
            case "number":
                return 7
            case "half":
                return "\ud800"
            case "long":
                return "x" * (MAX_USER_BYTES + 1)
            case "hang":
                await asyncio.sleep(3600)
        return connection.query or None

    async def _message(self, message: Message) -> str:
        return f"{message.connection.user}:{message.text}"

    async def _disconnect(self, connection: Connection) -> None:
        self.gone.append(connection)


async def test_the_user_it_returns_is_known_to_every_handler(settings: MakeSettings) -> None:
    door = Door()
    async with in_process(settings(), door.gateway) as served:
        async with raw_websocket(served.port, "/communicate?ann") as client:
            client.say("hello")
            assert await client.texts(1) == ["ann:hello"]
        await eventually(lambda: door.gone, "on_disconnect")

        assert door.gone == [replace(door.asked[0], user="ann")]


async def test_the_user_it_returns_is_in_the_registry(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    door = Door()
    async with (
        in_process(settings(), door.gateway) as served,
        raw_websocket(served.port, "/communicate?ann", User_Agent="test/1") as client,
    ):
        client.say("hello")
        await client.texts(1)
        [entry] = entries(redis_server, settings(), served.worker.me).values()

        assert (entry.user, entry.address, entry.user_agent) == ("ann", "127.0.0.1", "test/1")


async def test_returning_nothing_admits_without_a_user(settings: MakeSettings) -> None:
    async with (
        in_process(settings(), Door().gateway) as served,
        raw_websocket(served.port) as client,
    ):
        client.say("hello")

        assert await client.texts(1) == ["None:hello"]


async def test_a_refused_client_is_accepted_and_closed_with_the_reason(
    settings: MakeSettings,
) -> None:
    door = Door()
    async with in_process(settings(), door.gateway) as served:
        counted = Counted(served)
        async with raw_websocket(served.port, "/communicate?refused") as client:
            client.say("let me in")
            frames = await client.rest()

        assert [frame.closing for frame in frames] == [(4403, "members only")]
        assert counted("gateway_connections_closed_total", code="4xxx") == 1
        assert counted("gateway_messages_received_total") == 0


async def test_a_refused_client_never_was(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    door = Door()
    async with in_process(settings(), door.gateway) as served:
        async with raw_websocket(served.port, "/communicate?refused") as client:
            await client.rest()
        async with raw_websocket(served.port, "/communicate?ann") as client:
            client.say("hello")
            await client.texts(1)
            assert len(entries(redis_server, settings(), served.worker.me)) == 1
        await eventually(lambda: door.gone, "on_disconnect")

        assert [connection.user for connection in door.gone] == ["ann"]


@pytest.mark.parametrize("query", ["broken", "number", "half", "long", "hang"])
async def test_a_decision_that_fails_is_a_500(settings: MakeSettings, query: str) -> None:
    door = Door()
    async with in_process(settings(handler_seconds=0.3), door.gateway) as served:
        counted = Counted(served)
        answer = await handshake(served.port, f"/communicate?{query}")

        assert answer.status == 500
        assert counted("gateway_handshakes_refused_total", reason="handler_failed") == 1
        await eventually(lambda: not len(served.worker.parts.dispatcher), "the end")
        assert not door.gone


async def test_of_a_user_that_is_too_long_the_log_says_so(settings: MakeSettings) -> None:
    async with in_process(settings(), Door().gateway) as served:
        with capture_logs() as logs:
            await handshake(served.port, "/communicate?long")

    [failure] = [line for line in logs if line["event"] == "handler failed"]
    assert failure["log_level"] == "error"
    assert failure["exception"] == "UserTooLong"


async def test_another_worker_may_decide(settings: MakeSettings) -> None:
    door = Door()
    async with (
        in_process(settings(role="handler"), door.gateway) as handler,
        in_process(settings(role="edge")) as edge,
    ):
        await eventually(lambda: edge.worker.parts.members.handlers == (handler.worker.me,), "it")
        assert (await handshake(edge.port, "/communicate?broken")).status == 500
        async with raw_websocket(edge.port, "/communicate?refused") as client:
            assert (await client.rest())[-1].closing == (4403, "members only")
        async with raw_websocket(edge.port, "/communicate?ann") as client:
            client.say("hello")
            assert await client.texts(1) == ["ann:hello"]


async def test_the_user_is_known_to_a_worker_that_did_not_decide(settings: MakeSettings) -> None:
    doors = Door(), Door()
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(in_process(settings(role="edge")))
        first = await stack.enter_async_context(
            in_process(settings(role="handler"), doors[0].gateway)
        )
        await eventually(
            lambda: edge.worker.parts.members.handlers == (first.worker.me,), "the first"
        )
        clients = [
            await stack.enter_async_context(raw_websocket(edge.port, f"/communicate?{number}"))
            for number in range(8)
        ]
        await stack.enter_async_context(in_process(settings(role="handler"), doors[1].gateway))
        await eventually(lambda: len(edge.worker.parts.members.handlers) == 2, "the second")
        for number, client in enumerate(clients):
            client.say("hello")
            assert await client.texts(1) == [f"{number}:hello"]

        assert len(doors[0].asked) == 8
        assert not doors[1].asked


async def test_without_any_handler_known_a_client_is_told_to_come_back(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cluster.application_callbacks.DECISION_PATIENCE_S", 0.2)
    async with in_process(settings(role="edge")) as edge:
        counted = Counted(edge)
        answer = await handshake(edge.port)

        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert counted("gateway_handshakes_refused_total", reason="no_handler") == 1


async def test_a_handshake_waits_for_the_first_handler(settings: MakeSettings) -> None:
    async with in_process(settings(role="edge")) as edge:
        asking = asyncio.create_task(handshake(edge.port))
        await eventually(lambda: edge.worker.parts.admission.connections, "the handshake")
        async with in_process(settings(role="handler"), Door().gateway):
            assert (await asking).status == 101


async def test_nobody_gets_past_a_decision_while_handlers_are_away(
    settings: MakeSettings,
) -> None:
    """Red when an edge forgets what the handlers wanted once they are gone."""
    async with in_process(settings(role="edge", handler_seconds=0.5)) as edge:
        async with in_process(settings(role="handler"), Door().gateway):
            await eventually(lambda: edge.worker.parts.members.handlers, "the handler")
        await eventually(lambda: not edge.worker.parts.members.handlers, "its end")
        answer = await handshake(edge.port)

        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1


async def test_a_client_that_leaves_meanwhile_leaves_nothing_behind(
    settings: MakeSettings,
) -> None:
    door = Door()
    door.hold = asyncio.Event()
    async with in_process(settings(), door.gateway) as served:
        async with raw_client(served.port) as client:
            client.send(request("/communicate?ann"))
            await eventually(lambda: door.asked, "the question")
        door.hold.set()

        await eventually(lambda: _empty(served), "the end")


async def test_a_client_that_was_admitted_too_late_is_said_goodbye_for(
    settings: MakeSettings,
) -> None:
    """Red when on_connect counts somebody in whom on_disconnect never counts out."""
    door = Door()
    door.hold = asyncio.Event()
    async with in_process(settings(), door.gateway) as served:
        async with raw_client(served.port) as client:
            client.send(request("/communicate?ann"))
            await eventually(lambda: door.asked, "the question")
            client.abort()
        await asyncio.sleep(0)
        door.hold.set()
        await eventually(lambda: door.gone, "on_disconnect")

        assert [connection.user for connection in door.gone] == ["ann"]


async def test_one_whose_handshake_is_cancelled_as_the_decision_comes_is_said_goodbye_for(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when whoever waits for the decision notes that the client was let in."""
    door = Door()
    handshakes: list[asyncio.Task[Any]] = []
    app = create_app(door.gateway, settings())
    answered = Handshake.answered

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            task = asyncio.current_task()
            assert task is not None
            handshakes.append(task)
        await app(scope, receive, send)

    def answered_and_cancelled(self: Handshake, *args: Any) -> None:
        answered(self, *args)
        handshakes[0].cancel()

    monkeypatch.setattr(Handshake, "answered", answered_and_cancelled)
    async with (
        in_process(settings(), door.gateway, app=noting) as served,
        raw_client(served.port) as client,
    ):
        client.send(request("/communicate?ann"))
        await eventually(lambda: handshakes and handshakes[0].done(), "the cancellation")
        await eventually(lambda: _empty(served), "the end")

        assert [connection.user for connection in door.gone] == ["ann"]


async def test_what_a_client_says_during_the_decision_is_answered(settings: MakeSettings) -> None:
    """It should have waited for the 101, but what is read is answered."""
    door = Door()
    door.hold = asyncio.Event()
    async with (
        in_process(settings(), door.gateway) as served,
        raw_client(served.port) as client,
    ):
        client.send(request("/communicate?ann"))
        await eventually(lambda: door.asked, "the question")
        client.say("early")
        client.say("early too")
        door.hold.set()
        assert (await client.response()).status == 101
        client.say("late")

        assert await client.texts(3) == ["ann:early", "ann:early too", "ann:late"]


def _empty(served: InProcess) -> bool:
    worker = served.worker
    return not (
        worker.parts.admission.connections or len(worker.parts.hub) or len(worker.parts.dispatcher)
    )
