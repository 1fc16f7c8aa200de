"""The same sockets under our own protocol class and under any other ASGI server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from gateway import Connection, Gateway, Receipt, Refused
from gateway.edge.connection import ClientConnection
from gateway.edge.sockets.asgi_socket import AsgiSocket
from tests.integration.applications import Gated, talkative
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import (
    BINARY,
    TEXT,
    Frame,
    close_frame,
    frame,
    handshake,
    raw_client,
    raw_websocket,
    request,
    text_frame,
)
from tests.support.waiting import eventually

CLOSED = "gateway_connections_closed_total"

Serve = Callable[..., AbstractAsyncContextManager[InProcess]]


@pytest.fixture(params=["gateway", "websockets-sansio"])
def serve(request: pytest.FixtureRequest, settings: MakeSettings) -> Serve:
    """Serve a gateway with our own protocol class, or with a stock one of uvicorn's."""
    options = {} if request.param == "gateway" else {"ws": request.param, "ws_max_size": 1 << 24}

    def made(
        gateway: Gateway | None = None, **changes: Any
    ) -> AbstractAsyncContextManager[InProcess]:
        return in_process(settings(**changes), gateway, **options)

    return made


async def test_stock_protocols_are_served_by_plain_asgi(settings: MakeSettings) -> None:
    async with (
        in_process(settings(), ws="websockets-sansio") as served,
        raw_websocket(served.port),
    ):
        [member] = served.worker.parts.hub

        assert isinstance(member, ClientConnection)
        assert isinstance(member._socket, AsgiSocket)


async def test_a_burst_is_answered_in_order(serve: Serve) -> None:
    async with serve() as served, raw_websocket(served.port) as client:
        client.say(*map(str, range(200)))

        assert await client.texts(200) == [f"Received:{number}" for number in range(200)]


@pytest.mark.parametrize("cut", [0, 3, 100])
async def test_what_comes_with_the_handshake_is_answered(settings: MakeSettings, cut: int) -> None:
    """Red when what is read together with the request is dropped, a message or a part of one."""
    early = text_frame("a") + text_frame("b")
    async with in_process(settings()) as served, raw_client(served.port) as client:
        client.send(request(), early[:cut] if cut else b"")
        assert (await client.response()).status == 101
        client.send(early[cut:])

        assert await client.texts(2) == ["Received:a", "Received:b"]


async def test_a_handshake_tells_the_connection_its_id(serve: Serve) -> None:
    async with serve() as served:
        answer = await handshake(served.port)

        assert answer.headers["gateway-connection-id"].startswith(served.worker.me)


async def test_a_refusal_is_real_http(serve: Serve) -> None:
    async with serve(max_connections=1) as served, raw_websocket(served.port):
        assert (await handshake(served.port, Origin="http://evil")).status == 403
        full = await handshake(served.port)

        assert (full.status, full.headers["retry-after"]) == (503, "1")


async def test_a_message_of_exactly_the_limit_is_answered(serve: Serve) -> None:
    async with serve(message_bytes=1000) as served, raw_websocket(served.port) as client:
        client.say("ä" * 500)

        assert await client.texts(1) == ["Received:" + "ä" * 500]


@pytest.mark.parametrize("text", ["x" * 1001, "ä" * 500 + "x"])
async def test_one_byte_over_the_limit_closes_with_1009(serve: Serve, text: str) -> None:
    async with serve(message_bytes=1000) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.say(text)
        last = (await client.rest())[-1]

        assert last.closing[0] == 1009
        assert last.closing[1]
        await eventually(lambda: counted(CLOSED, code="1009") == 1, "the count")


@pytest.mark.parametrize(
    ("sent", "code"),
    [([frame(BINARY, b"x")], 1003), ([frame(TEXT, b"1"), frame(TEXT, b"2")] * 9, 3013)],
    ids=["binary", "rate"],
)
async def test_the_server_closes_with_bye_and_a_code(
    serve: Serve, sent: list[bytes], code: int
) -> None:
    async with serve(messages_per_second=3) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.send(*sent)
        *_, goodbye, last = await client.rest()

        assert goodbye == Frame(TEXT, b"Bye!!!")
        assert last.closing[0] == code
        await eventually(lambda: counted(CLOSED, code=str(code)) == 1, "the count")


async def test_invalid_text_is_closed_with_1007(serve: Serve) -> None:
    async with serve() as served, raw_websocket(served.port) as client:
        client.send(frame(TEXT, b"\xff"))

        assert (await client.rest())[-1].closing[0] == 1007


@pytest.mark.parametrize("code", [1000, 4321])
async def test_a_clients_close_is_answered_and_counted(serve: Serve, code: int) -> None:
    """With which reason it is answered is the server's affair where it cannot be chosen."""
    async with serve() as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.send(close_frame(code, "enough"))

        assert (await client.rest())[-1].closing[0] in (1000, code)
        label = "1000" if code == 1000 else "4xxx"
        await eventually(lambda: counted(CLOSED, code=label) == 1, "the count")


async def test_a_client_that_vanishes_is_gone_from_the_hub(serve: Serve) -> None:
    async with serve() as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.abort()
        await eventually(lambda: not len(served.worker.parts.hub), "the end")

        assert counted("gateway_connections_closed_total", code="1006") + counted(
            "gateway_connections_closed_total", code="1005"
        )


async def test_a_drain_answers_what_is_outstanding_and_closes_with_3001(serve: Serve) -> None:
    app = Gated()
    async with (
        serve(app.gateway, drain_seconds=20.0) as served,
        raw_websocket(served.port) as client,
    ):
        client.say("last words")
        await eventually(lambda: app.started, "the message")
        served.should_exit = True
        await eventually(lambda: not served.worker.ready, "the drain")
        app.gate.set()

        assert await client.texts(2) == ["Received:last words", "Bye!!!"]
        assert (await client.rest())[-1].closing == (3001, "drain")


async def test_a_refusal_of_the_application_is_a_close(serve: Serve) -> None:
    gateway = Gateway()

    @gateway.on_connect
    async def refuse(connection: Connection) -> None:
        raise Refused(4403, "members only")

    async with serve(gateway) as served, raw_websocket(served.port) as client:
        assert [last.closing for last in await client.rest()] == [(4403, "members only")]


async def test_trace_is_negotiated(serve: Serve) -> None:
    async with (
        serve() as served,
        raw_websocket(served.port, Sec_WebSocket_Protocol="gateway.trace.v1") as client,
    ):
        client.say("hello")
        _, reply = map(json.loads, await client.texts(2))

        assert reply["text"] == "Received:hello"


async def test_a_socket_is_not_read_past_the_bound_and_goes_on(serve: Serve) -> None:
    app = Gated()
    async with serve(app.gateway) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.say(*map(str, range(100)))
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == 32, "the bound")
        assert counted("gateway_messages_received_total") == 32
        app.gate.set()

        assert await client.texts(100) == [f"Received:{number}" for number in range(100)]


async def test_a_client_that_leaves_while_it_is_not_read_is_noticed_later(serve: Serve) -> None:
    app = Gated()
    async with serve(app.gateway) as served:
        async with raw_websocket(served.port) as client:
            client.say(*map(str, range(100)))
            await eventually(lambda: served.worker.parts.dispatcher.unanswered == 32, "the bound")
        app.gate.set()

        await eventually(lambda: not len(served.worker.parts.dispatcher), "the end")


@pytest.mark.parametrize("change", [{"stall_seconds": 0.5}, {"outbox_bytes": 200_000}])
async def test_a_client_that_does_not_read_is_dropped(serve: Serve, change: dict[str, Any]) -> None:
    async with (
        serve(talkative(), **change) as served,
        raw_websocket(served.port) as client,
    ):
        counted = Counted(served)
        client.stop_reading()
        client.say(*["100000"] * 60)
        await eventually(lambda: counted(CLOSED, code="3008") == 1, "the abort", 10)

        await eventually(lambda: not len(served.worker.parts.hub), "the end")


async def test_nothing_is_left_of_connections_that_have_ended(serve: Serve) -> None:
    async with serve() as served:
        clients = [raw_websocket(served.port) for _ in range(5)]
        for made in clients:
            async with made as client:
                client.say("hello")
                await client.texts(1)
        await eventually(lambda: not served.worker.parts.admission.connections, "the end")
        left = [t for t in asyncio.all_tasks() if t.get_name().startswith("socket")]

        assert not left
        assert len(served.worker.parts.hub) == len(served.worker.parts.dispatcher) == 0


# uvicorn's third class, the deprecated "websockets", does not work with the library of our locks.
@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
async def test_a_receipt_is_the_servers_word(settings: MakeSettings, ws: str) -> None:
    """Red when a text counts as written while it waits in our queue: five of five did."""
    own = settings(outbox_bytes=1 << 24, stall_seconds=60.0)
    async with (
        in_process(own, ws=ws) as served,
        raw_websocket(served.port) as client,
    ):
        [member] = served.worker.parts.hub
        assert await served.gateway.send(member.id, "taken") is Receipt.WRITTEN
        assert await client.texts(1) == ["taken"]
        client.stop_reading()
        while await served.gateway.send(member.id, "x" * 900_000) is Receipt.WRITTEN:
            assert isinstance(member, ClientConnection)
        late = await asyncio.gather(*(served.gateway.send(member.id, "late") for _ in range(5)))

    assert late == [Receipt.UNREACHABLE] * 5
