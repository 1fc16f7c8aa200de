"""What one connection may have unanswered: at the bound its socket is not read any further."""

from __future__ import annotations

import pytest

from tests.integration.applications import Gated
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import cluster, in_process
from tests.support.logs import capture_logs
from tests.support.rawclient import (
    PING,
    PONG,
    Frame,
    RawClient,
    close_frame,
    frame,
    raw_websocket,
    text_frame,
)
from tests.support.waiting import eventually

MIB = 1 << 20


@pytest.mark.parametrize(("size", "bound"), [(1, 32), (65536, 16), (MIB // 20 + 1, 20)])
async def test_a_socket_is_not_read_past_32_messages_or_a_mebibyte(
    settings: MakeSettings, size: int, bound: int
) -> None:
    app = Gated()
    texts = [str(n % 10) * size for n in range(48)]
    async with (
        in_process(settings(outbox_bytes=16 * MIB), app.gateway) as served,
        raw_websocket(served.port) as client,
    ):
        counted = Counted(served)
        client.say(*texts)
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == bound, "the bound")
        client.send(*[text_frame("x" * 65536)] * 200)  # more than any socket's buffers
        await eventually(lambda: client.unsent_bytes, "an unread socket")
        assert counted("gateway_messages_received_total") == bound
        app.gate.set()

        assert await client.texts(48) == [f"Received:{text}" for text in texts]


async def test_below_the_bound_a_socket_is_read(settings: MakeSettings) -> None:
    app = Gated()
    async with (
        in_process(settings(), app.gateway) as served,
        raw_websocket(served.port) as client,
    ):
        client.say(*["a"] * 31)
        client.send(frame(PING, b"are you there?"))

        assert await client.receive() == Frame(PONG, b"are you there?")
        assert served.worker.parts.dispatcher.unanswered == 31


async def test_a_socket_that_was_not_read_goes_on_in_order_across_workers(
    settings: MakeSettings,
) -> None:
    apps = [Gated(), Gated()]
    async with (
        cluster(settings(), 2, [app.gateway for app in apps]) as workers,
        raw_websocket(workers[0].port) as one,
        raw_websocket(workers[0].port) as two,
    ):
        for client in (one, two):
            client.say(*map(str, range(200)))
        await eventually(lambda: workers[0].worker.parts.dispatcher.unanswered == 64, "the bound")
        for app in apps:
            app.gate.set()

        for client in (one, two):
            assert await client.texts(200) == [f"Received:{number}" for number in range(200)]


async def test_a_connection_whose_socket_is_not_read_is_not_taken_for_dead(
    settings: MakeSettings,
) -> None:
    """Its client's pongs are among what is not read."""
    app = Gated()
    async with (
        in_process(settings(), app.gateway, ws_ping_interval=0.05, ws_ping_timeout=3.0) as served,
        raw_websocket(served.port) as full,
        raw_websocket(served.port) as clock,
    ):
        full.say(*map(str, range(40)))
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 32, "the bound")
        await _answer_pings(clock, 80)  # 4 s
        app.gate.set()

        assert await _texts(full, 40) == [f"Received:{number}" for number in range(40)]


async def test_a_client_that_answers_no_ping_is_given_up(settings: MakeSettings) -> None:
    """Red where it was 1011, like a failed handler, and the log had no reason."""
    async with in_process(settings(), ws_ping_interval=0.05, ws_ping_timeout=0.2) as served:
        counted = Counted(served)
        with capture_logs() as logs:
            async with raw_websocket(served.port) as client:
                frames = await client.rest()

        assert frames[0].opcode == PING
        assert counted("gateway_connections_closed_total", code="3012") == 1
        closed = [line for line in logs if line["event"] == "connection closed"]
        assert [(line["code"], line["reason"]) for line in closed] == [(3012, "no pong")]


async def test_what_a_client_gives_as_its_reason_is_not_logged(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        with capture_logs() as logs:
            async with raw_websocket(served.port) as client:
                client.send(close_frame(3012, "my password"))
                await client.rest()
            await eventually(lambda: not len(served.worker.parts.hub), "its end")

        assert any(line["event"] == "connection closed" for line in logs)
        assert "my password" not in repr(logs)


async def test_a_close_that_waits_behind_too_many_messages_is_answered(
    settings: MakeSettings,
) -> None:
    app = Gated()
    async with (
        in_process(settings(), app.gateway) as served,
        raw_websocket(served.port) as client,
    ):
        client.send(*[text_frame("a")] * 40, close_frame(1000))
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 32, "the bound")
        app.gate.set()

        assert (await client.rest())[-1].closing == (1000, "Bye!!!")


async def test_a_drain_does_not_wait_for_a_close_it_has_not_read(settings: MakeSettings) -> None:
    """Red when ``close`` trusts that its own close frame will end the connection."""
    app = Gated()
    async with (
        in_process(settings(drain_seconds=30.0), app.gateway) as served,
        raw_websocket(served.port) as client,
    ):
        client.send(*[text_frame("a")] * 40, close_frame(1000))
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 32, "the bound")
        served.should_exit = True
        await eventually(lambda: not served.worker.ready, "the drain")
        app.gate.set()

        assert (await client.rest())[-1].closing == (1000, "Bye!!!")


async def _answer_pings(client: RawClient, count: int) -> None:
    for _ in range(count):
        ping = await client.receive()
        assert ping.opcode == PING
        client.send(frame(PONG, ping.payload))


async def _texts(client: RawClient, count: int) -> list[str]:
    """Texts, whatever pings are between them."""
    texts: list[str] = []
    while len(texts) < count:
        got = await client.receive()
        if got.opcode == PING:
            client.send(frame(PONG, got.payload))
        else:
            texts.append(got.text)
    return texts
