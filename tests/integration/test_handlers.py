"""What handlers are given, what may come of them, and that none harms another."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway import Gateway, Message, Refused
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import in_process
from tests.support.logs import capture_logs
from tests.support.rawclient import RawClient, raw_websocket
from tests.support.trace_client import trace_client
from tests.support.waiting import eventually


async def last_words(client: RawClient) -> tuple[str, tuple[int, str]]:
    """What the client is told at its end."""
    *_, goodbye, last = await client.rest()
    return goodbye.text, last.closing


FAILED = ("Bye!!!", (1011, "handler failed"))


async def test_a_handler_sees_the_message_and_its_connection(settings: MakeSettings) -> None:
    gateway, seen = Gateway(), list[Message]()

    @gateway.on_message
    async def see(message: Message) -> str:
        seen.append(message)
        return ""

    async with (
        in_process(settings(), gateway) as served,
        raw_websocket(
            served.port,
            "/communicate?room=a%20b&x=1",
            X_Team="Blue",
            Sec_WebSocket_Protocol="chat, other",
        ) as client,
    ):
        client.say("one", "two")
        await client.texts(2)
        [member] = served.worker.parts.hub

    first, second = seen
    assert (first.text, second.text) == ("one", "two")
    assert (first.attempt, second.attempt) == (1, 1)
    assert (first.id, second.id) == (f"{member.id}:1", f"{member.id}:2")
    connection = first.connection
    assert connection == second.connection
    assert connection.id == member.id
    assert connection.user is None
    assert connection.address == "127.0.0.1"
    assert connection.query == "room=a%20b&x=1"
    assert connection.subprotocols == ("chat", "other")
    assert connection.headers["x-team"] == "Blue"
    assert all(name == name.lower() for name in connection.headers)


async def test_a_handler_that_returns_nothing_sends_nothing(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_message
    async def only_questions(message: Message) -> str | None:
        return "yes" if message.text.endswith("?") else None

    async with in_process(settings(), gateway) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.say(*["fact"] * 50, "right?")

        assert await client.texts(1) == ["yes"]
        assert counted("gateway_messages_sent_total") == 1
        assert counted("gateway_dispatches_total", path="local", outcome="answered") == 51


async def test_an_application_without_on_message_answers_nothing(settings: MakeSettings) -> None:
    async with in_process(settings(), Gateway()) as served, raw_websocket(served.port) as client:
        client.say("anybody?")
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 0, "an answer")
        client.end()

        assert not await client.rest()


@pytest.mark.parametrize(
    "result",
    [b"bytes", 7, ["list"], "\ud800", "x" * ((1 << 20) + 1)],
    ids=["bytes", "number", "list", "half a surrogate pair", "over a mebibyte"],
)
async def test_what_cannot_be_sent_fails_its_message_only(
    settings: MakeSettings, result: Any
) -> None:
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> Any:
        return result if message.text == "bad" else message.text

    async with (
        in_process(settings(), gateway) as served,
        raw_websocket(served.port) as other,
        raw_websocket(served.port) as client,
    ):
        with capture_logs() as logs:
            client.say("bad")
            assert await last_words(client) == FAILED
        other.say("good")
        assert await other.texts(1) == ["good"]

    [said] = [line for line in logs if line["log_level"] == "error"]
    if said["event"] == "answer not sendable":
        assert said["hook"] == "on_message"
        assert said["returned"] == f"str of {len(result)} characters"
        assert ("surrogate" if len(result) == 1 else "1048576 B") in said["why"]
    else:
        assert "on_message" in said["why"]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("x"),
        SystemExit(3),
        Refused(4000, "only in on_connect"),
        TimeoutError(),
        GeneratorExit(),
        BaseException("x"),
    ],
    ids=repr,
)
async def test_a_handler_that_raises_fails_its_message_only(
    settings: MakeSettings, error: BaseException
) -> None:
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> str:
        if message.text == "bad":
            raise error
        return message.text

    async with (
        in_process(settings(), gateway) as served,
        raw_websocket(served.port) as other,
        raw_websocket(served.port) as client,
    ):
        counted = Counted(served)
        client.say("bad")

        assert await last_words(client) == FAILED
        assert counted("gateway_dispatches_total", path="local", outcome="failed") == 1
        other.say("good")
        assert await other.texts(1) == ["good"]


async def test_a_handler_that_awaits_what_was_cancelled_fails_its_message(
    settings: MakeSettings,
) -> None:
    """Red when any CancelledError is taken for one's own: the message is never answered."""
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> str:
        if message.text == "bad":
            lost = asyncio.get_running_loop().create_future()
            lost.cancel()
            await lost
        return message.text

    async with (
        in_process(settings(handler_concurrency=1), gateway) as served,
        raw_websocket(served.port) as other,
        raw_websocket(served.port) as client,
    ):
        client.say("bad")

        assert await last_words(client) == FAILED
        other.say("good")
        assert await other.texts(1) == ["good"]


async def test_a_handler_that_takes_too_long_is_cancelled_and_the_next_runs(
    settings: MakeSettings,
) -> None:
    gateway, cancelled = Gateway(), list[str]()

    @gateway.on_message
    async def answer(message: Message) -> str:
        if message.text == "hang":
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(message.text)
                raise
        return message.text

    async with (
        in_process(settings(handler_seconds=0.3), gateway) as served,
        trace_client(served.ws_url) as client,
    ):
        await client.socket.send("hang")
        assert json.loads(await client.socket.recv()) == {"error": "handler failed"}
        assert cancelled == ["hang"]

        assert (await client.ask("next")).text == "next"


async def test_a_handler_that_swallows_its_cancellation_has_failed_all_the_same(
    settings: MakeSettings,
) -> None:
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> str:
        if message.text == "hang":
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return "as if nothing had happened"
        await asyncio.sleep(0.001)
        return message.text

    async with (
        in_process(settings(handler_seconds=0.3), gateway) as served,
        trace_client(served.ws_url) as client,
    ):
        await client.socket.send("hang")
        assert json.loads(await client.socket.recv()) == {"error": "handler failed"}

        assert (await client.ask("next")).text == "next"


async def test_a_handler_that_goes_on_after_its_cancellation_is_cancelled_again(
    settings: MakeSettings,
) -> None:
    gateway, cancelled = Gateway(), list[str]()

    @gateway.on_message
    async def answer(message: Message) -> str:
        while message.text == "hang" and len(cancelled) < 3:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(message.text)
        return message.text

    async with (
        in_process(settings(handler_seconds=0.2), gateway) as served,
        trace_client(served.ws_url) as client,
    ):
        await client.socket.send("hang")
        assert json.loads(await client.socket.recv()) == {"error": "handler failed"}

        assert (await client.ask("next")).text == "next"


async def test_a_time_limit_of_the_handlers_own_works(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(3600)
        except TimeoutError:
            return "too slow"
        return "impossible"

    async with in_process(settings(), gateway) as served, raw_websocket(served.port) as client:
        client.say("one", "two")

        assert await client.texts(2) == ["too slow", "too slow"]
