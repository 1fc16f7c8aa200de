"""What every socket layer does with the same bytes: ours in both ways, and uvicorn's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from uvicorn import Config, Server

from gateway.edge.sockets.picows_websocket import GatewayWebSocket
from gateway.edge.sockets.socket import EXTENSION, Socket
from tests.support.rawclient import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    close_frame,
    frame,
    handshake,
    raw_client,
    raw_websocket,
    text_frame,
)
from tests.support.waiting import eventually

LIMIT = 1000
FLOOD = 1000  # times 64 KiB
FAREWELL = (1000, "farewell")
INVALID = b"\xff"
# What a close of the server's own looks like is the application's choice.
CLOSING = (4321, "enough, thank you")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass
class Layer:
    """One way to serve, with an application that echoes and notes what happens."""

    name: str
    ws: str | type[asyncio.Protocol]
    takes_socket: bool = False
    ends: list[int] = field(default_factory=list)
    scopes: list[MutableMapping[str, Any]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0
    port: int = 0
    server: Server | None = None

    @property
    def ours(self) -> bool:
        return self.ws is GatewayWebSocket

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The application; its path says what it does."""
        await receive()
        self.scopes.append(scope)
        if scope["path"] == "/denied":
            headers = [(b"x-why", b"because"), (b"content-type", b"text/plain")]
            await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": b"a", "more_body": True})
            await send({"type": "websocket.http.response.body", "body": b"b"})
            return
        if scope["path"] == "/closed":
            await send({"type": "websocket.close"})
            return
        if scope["path"] == "/broken":
            return
        chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
        headers = [(b"x-one", b"1"), (b"x-two", b"2")]
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": headers})
        if scope["path"] == "/flood":
            for _ in range(FLOOD):
                await send({"type": "websocket.send", "text": "x" * 65536})
                self.sent += 1
        if self.takes_socket:
            taken: Socket = scope["extensions"][EXTENSION]
            taken.start(Taken(self, taken), farewell=FAREWELL)
        else:
            await self._converse(receive, send)

    async def _converse(self, receive: Receive, send: Send) -> None:
        await self.gate.wait()
        while (event := await receive())["type"] == "websocket.receive":
            if event.get("text") == "close":
                code, reason = CLOSING
                await send({"type": "websocket.close", "code": code, "reason": reason})
            else:
                await send({**event, "type": "websocket.send"})
        self.ends.append(event["code"])


class Taken:
    """The same echo for an application that takes the socket."""

    def __init__(self, layer: Layer, taken: Socket) -> None:
        self._layer = layer
        self._socket = taken

    def on_text(self, text: str) -> None:
        if text == "close":
            self._socket.close(*CLOSING)
        else:
            self._socket.write([text.encode()])

    def on_binary(self) -> None:
        self._socket.write([b"binary"])

    def on_close(self, code: int, reason: str) -> None:
        self._layer.ends.append(code)


@asynccontextmanager
async def serving(layer: Layer, **options: Any) -> AsyncIterator[Layer]:
    """Serve it with uvicorn on a free port."""
    defaults = {"ws_max_size": LIMIT, "lifespan": "off", "log_config": None}
    config = Config(layer, ws=layer.ws, **{**defaults, **options})
    server = layer.server = Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    layer.port = listener.getsockname()[1]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await eventually(lambda: server.started, "the start", 30)
        yield layer
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 20)


LAYERS = {
    "extension": (GatewayWebSocket, True),
    "asgi": (GatewayWebSocket, False),
    "websockets-sansio": ("websockets-sansio", False),
    "wsproto": ("wsproto", False),
}


def make_layer(name: str) -> Layer:
    ws, takes_socket = LAYERS[name]
    layer = Layer(name, ws, takes_socket)  # type: ignore[arg-type]
    layer.gate.set()
    return layer


@pytest.fixture(params=LAYERS)
async def layer(request: pytest.FixtureRequest) -> AsyncIterator[Layer]:
    async with serving(make_layer(request.param)) as served:
        yield served


async def test_a_handshake_is_accepted_with_a_subprotocol_and_headers(layer: Layer) -> None:
    answer = await handshake(layer.port, Sec_WebSocket_Protocol="first, second")

    assert answer.status == 101
    assert answer.headers["sec-websocket-protocol"] == "second"
    assert (answer.headers["x-one"], answer.headers["x-two"]) == ("1", "2")
    # RFC 6455 section 1.3, for the key that section uses
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


async def test_the_scope_says_what_was_asked_for(layer: Layer) -> None:
    await handshake(layer.port, "/a%20path?a=1&b=%32", X_Mine="häh".encode().decode("latin-1"))

    [scope] = layer.scopes
    assert (scope["path"], scope["query_string"]) == ("/a path", b"a=1&b=%32")
    assert scope["scheme"] == "ws"
    assert scope["client"][0] == "127.0.0.1"
    assert (b"x-mine", "häh".encode()) in list(scope["headers"])


async def test_a_denial_has_a_status_headers_and_a_body(layer: Layer) -> None:
    answer = await handshake(layer.port, "/denied")

    assert answer.status == 418
    assert answer.headers["x-why"] == "because"
    if "content-length" in answer.headers:  # wsproto sends it in chunks
        assert answer.body == "ab"


async def test_a_close_before_the_handshake_is_a_403(layer: Layer) -> None:
    assert (await handshake(layer.port, "/closed")).status == 403


async def test_an_application_that_decides_nothing_is_a_500(layer: Layer) -> None:
    assert (await handshake(layer.port, "/broken")).status == 500


@pytest.mark.parametrize(
    "headers",
    [{"Sec_WebSocket_Version": "12"}, {"Sec_WebSocket_Key": "short"}],
    ids=["version", "key"],
)
async def test_what_is_no_handshake_is_refused(layer: Layer, headers: dict[str, str]) -> None:
    if layer.name == "wsproto" and "Sec_WebSocket_Key" in headers:
        headers = {"Sec_WebSocket_Version": "7"}  # it takes any key
    answer = await handshake(layer.port, **headers)

    assert 400 <= answer.status < 500
    assert not layer.scopes


async def test_messages_come_back_in_order(layer: Layer) -> None:
    async with raw_websocket(layer.port) as client:
        client.say(*map(str, range(300)))

        assert await client.texts(300) == [str(number) for number in range(300)]


async def test_a_message_of_exactly_the_limit_comes_back(layer: Layer) -> None:
    async with raw_websocket(layer.port) as client:
        client.say("x" * LIMIT)

        assert await client.texts(1) == ["x" * LIMIT]


async def test_binary_is_told_from_text(layer: Layer) -> None:
    async with raw_websocket(layer.port) as client:
        client.send(frame(BINARY, b"\0\xff"))
        answer = await client.receive()

    assert answer == (Frame(TEXT, b"binary") if layer.takes_socket else Frame(BINARY, b"\0\xff"))


@pytest.mark.parametrize("payload", [b"", b"x" * 125])
async def test_a_ping_is_answered_between_fragments(layer: Layer, payload: bytes) -> None:
    async with raw_websocket(layer.port) as client:
        client.send(frame(TEXT, b"a", fin=False), frame(PING, payload))
        assert await client.receive() == Frame(PONG, payload)
        client.send(frame(CONTINUATION, b"b"))

        assert await client.texts(1) == ["ab"]


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        pytest.param([frame(TEXT, b"x" * (LIMIT + 1))], 1009, id="long"),
        pytest.param(
            [frame(TEXT, b"x" * LIMIT, fin=False), frame(CONTINUATION, b"x")], 1009, id="long sum"
        ),
        pytest.param([frame(TEXT, INVALID)], 1007, id="invalid text"),
        pytest.param([frame(0x3, b"x")], 1002, id="opcode"),
        pytest.param([b"\xc1\x81\0\0\0\0x"], 1002, id="bit of no extension"),
        pytest.param([b"\x81\x01x"], 1002, id="not masked"),
        pytest.param([frame(CONTINUATION, b"x")], 1002, id="continues nothing"),
        pytest.param([frame(CLOSE, b"\3")], 1002, id="half a code"),
        pytest.param([close_frame(1005)], 1002, id="code 1005"),
    ],
)
async def test_what_breaks_the_protocol_is_closed_with_its_code(
    layer: Layer, pieces: list[bytes], code: int
) -> None:
    async with raw_websocket(layer.port) as client:
        client.send(*pieces)
        got = await client.rest()
        await eventually(lambda: bool(layer.ends), "the end")

    if layer.name == "wsproto" and code != 1009:
        assert not got  # it only hangs up
    else:
        assert got[-1].closing[0] == code


@pytest.mark.parametrize("close", [(1000, "done"), (3999, ""), (4999, "x" * 123)])
async def test_a_clients_close_is_answered_and_told(layer: Layer, close: tuple[int, str]) -> None:
    async with raw_websocket(layer.port) as client:
        client.send(close_frame(*close))
        answer = (await client.rest())[-1].closing

    assert answer[0] == (FAREWELL[0] if layer.takes_socket else close[0])
    await eventually(lambda: layer.ends == [close[0]], "the end")


async def test_the_servers_close_has_its_code_and_reason(layer: Layer) -> None:
    async with raw_websocket(layer.port) as client:
        client.say("before", "close")
        before, last = await client.rest()

    assert (before, last.closing) == (Frame(TEXT, b"before"), CLOSING)


@pytest.mark.parametrize("way", ["reset", "half-close"])
async def test_a_client_that_vanishes_is_told_once(layer: Layer, way: str) -> None:
    async with raw_websocket(layer.port) as client:
        client.say("hello")
        await client.texts(1)
        if way == "reset":
            client.abort()
        else:
            client.end()
            await client.ended()
        await eventually(lambda: bool(layer.ends), "the end")

    assert layer.ends in ([1005], [1006])  # uvicorn's own say 1005
    assert layer.ends == [1006] or not layer.ours


async def test_a_client_that_goes_during_the_handshake_does_no_harm(layer: Layer) -> None:
    async with raw_client(layer.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n")
        client.abort()

    async with raw_websocket(layer.port) as client:
        client.say("hello")
        assert await client.texts(1) == ["hello"]


@pytest.mark.parametrize("layer", ["extension", "asgi", "websockets-sansio"], indirect=True)
async def test_a_long_stream_in_small_pieces_is_read_right(layer: Layer) -> None:
    sent = b"".join(text_frame("x" * size) for size in range(200))
    async with raw_websocket(layer.port) as client:
        for place in range(0, len(sent), 7):
            client.send(sent[place : place + 7])
            await asyncio.sleep(0)

        assert [len(text) for text in await client.texts(200)] == list(range(200))


@pytest.mark.parametrize("layer", ["asgi", "websockets-sansio", "wsproto"], indirect=True)
async def test_an_application_that_does_not_receive_stops_the_client(layer: Layer) -> None:
    layer.gate.clear()
    count = 20_000
    async with raw_websocket(layer.port) as client:
        client.send(text_frame("x" * LIMIT) * count)
        left: list[int] = []

        def stopped() -> bool:
            left.append(client.unsent_bytes)
            return len(set(left[-20:])) == 1 and len(left) > 20

        await eventually(stopped, "the stop")
        assert left[-1] > count * LIMIT / 4
        layer.gate.set()

        assert len(await client.texts(count)) == count


@pytest.mark.parametrize("layer", ["asgi", "websockets-sansio", "wsproto"], indirect=True)
async def test_an_application_that_floods_waits_for_its_client(layer: Layer) -> None:
    async with raw_websocket(layer.port, "/flood") as client:
        client.stop_reading()
        sent = -1

        def waits() -> bool:
            nonlocal sent
            before, sent = sent, layer.sent
            return 0 < sent == before

        await eventually(waits, "the wait")

        assert layer.sent < FLOOD / 2
