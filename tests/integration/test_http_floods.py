"""One HTTP client that asks for more than its share: of memory, of time, of the event loop.

Served by plain uvicorn with our HTTP class, as anybody may.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.server import ServerState

from gateway.edge.sockets.request_meter import MAX_HEADERS
from gateway.edge.sockets.uvicorn_http import GatewayHttp
from tests.support.rawclient import RawClient, raw_client, request
from tests.support.waiting import eventually
from tests.unit.edge.sockets.test_picows_websocket import MemoryTransport

CHUNKED = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
IGNORED = CHUNKED.replace(b"/read", b"/")
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LONG_BYTES = 1 << 20
SOON_S = 5.0
Application = Callable[[Any, Any, Any], Any]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer with a number of bytes: ``/long`` with many, ``/read`` with how many were sent."""
    answer = b"0"
    if scope["path"] == "/long":
        answer = b"x" * (16 << 20)
    elif scope["path"] == "/names":
        while (await receive())["more_body"]:
            pass
        answer = b" ".join(name for name, _ in scope["headers"])
    elif scope["path"] == "/read":
        length, more = 0, True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            length, more = length + len(event["body"]), event["more_body"]
        answer = b"%d" % length
    length_header = (b"content-length", b"%d" % len(answer))
    await send({"type": "http.response.start", "status": 200, "headers": [length_header]})
    await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def served(http: Any = GatewayHttp, **options: Any) -> AsyncIterator[int]:
    """Serve ``application`` under plain uvicorn. Yields its port."""
    config = uvicorn.Config(application, http=http, lifespan="off", log_config=None, **options)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server._serve([listener]))
    try:
        await eventually(lambda: server.started, "the start", 30)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await asyncio.wait_for(task, 20)


class Live:
    """How many requests are, and at most were, in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._all: weakref.WeakSet[Any] = weakref.WeakSet()
        self.most = 0
        live = self

        class Cycle(httptools_impl.RequestResponseCycle):
            def __init__(self, **parts: Any) -> None:
                super().__init__(**parts)
                live._all.add(self)
                live.most = max(live.most, len(live._all))

        monkeypatch.setattr(httptools_impl, "RequestResponseCycle", Cycle)


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    return Live(monkeypatch)


async def pour(client: RawClient, piece: bytes, *, up_to_bytes: int = 64 << 20) -> int:
    """Send the same again and again until the server ends the connection: how much it was."""
    ended = asyncio.ensure_future(client.ended(within_s=SOON_S))
    sent = 0
    while not ended.done() and sent < up_to_bytes:
        if client.unsent_bytes < LONG_BYTES:
            with suppress(RuntimeError):  # uvloop's word for a transport that has just been closed
                client.send(piece)
                sent += len(piece)
        await asyncio.sleep(0)
    await ended
    return sent


# What is not body


@pytest.mark.parametrize("head", [CHUNKED, IGNORED], ids=["awaited", "answered"])
@pytest.mark.parametrize(
    "endless",
    [b"0\r\n" + b"trailer: of some length\r\n" * 100, b"0\r\nendless: " + b"x" * 4000],
    ids=["trailers", "one trailer"],
)
async def test_trailers_without_end_end_the_connection(head: bytes, endless: bytes) -> None:
    """Red when only heads are bounded: one connection takes all memory."""
    async with served(GatewayHttp.within(300)) as port, raw_client(port) as client:
        client.send(head, b"1\r\nx\r\n", endless[:3])
        sent = await pour(client, endless[3:])

    assert sent < 16 << 20


async def test_chunk_extensions_without_end_end_the_connection() -> None:
    async with served(GatewayHttp.within(300)) as port, raw_client(port) as client:
        client.send(CHUNKED, b"1\r\nx\r\n", b"1;")
        sent = await pour(client, b"extension=1;" * 300)

    assert sent < 16 << 20


async def test_many_small_chunks_are_a_body_like_any_other() -> None:
    """Red when the lines between chunks count: a body in small pieces would be refused."""
    async with served(GatewayHttp.within(300)) as port, raw_client(port) as client:
        client.send(CHUNKED, b"1\r\nx\r\n" * 131_072, b"0\r\nOne: trailer\r\n\r\n", GET)

        assert (await client.response()).body == "131072"
        assert (await client.response()).status == 200


@pytest.mark.parametrize("more", [0, 1])
async def test_headers_are_as_many_as_may_be_and_no_more(more: int) -> None:
    """Red when only their bytes count: an empty one takes 4 bytes, and 100 in memory."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * (MAX_HEADERS - 1 + more) + b"\r\n"
    async with served(GatewayHttp.within(300)) as port, raw_client(port) as client:
        client.send(head)

        assert (await client.response()).status == (400 if more else 200)


async def test_nine_thousand_empty_headers_are_refused_before_they_are_made() -> None:
    async with served(GatewayHttp.within(300)) as port, raw_client(port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n", b"a:\r\n" * 9_200, b"\r\n")

        assert (await client.response()).status == 400
        await client.ended(within_s=SOON_S)


async def test_empty_lines_without_a_request_end_the_connection() -> None:
    async with served(GatewayHttp.within(300)) as port, raw_client(port) as client:
        client.send(GET)
        assert (await client.response()).status == 200
        sent = await pour(client, b"\r\n" * 2000)

    assert sent < 16 << 20


@pytest.mark.parametrize("cut", [False, True], ids=["one packet", "two packets"])
async def test_a_trailer_is_no_header(cut: bool) -> None:
    """Red while it was one if it came together with the head: with a credential in it, the answer
    depended on packets.
    """
    head, body = CHUNKED.replace(b"/read", b"/names"), b"1\r\na\r\n0\r\nX-API-Key: k\r\n\r\n"
    async with served() as port, raw_client(port) as client:
        client.send(head if cut else head + body)
        if cut:
            await asyncio.sleep(0.01)  # another packet, most of the time: both must be right
            client.send(body)

        assert (await client.response()).body == "host transfer-encoding"


async def test_a_handshake_in_http_1_0_is_refused() -> None:
    """Red while uvicorn handed it on as if it were in HTTP/1.1."""
    async with served() as port, raw_client(port) as client:
        client.send(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = await client.response()

        assert (answer.status, "HTTP/1.1" in answer.body) == (400, True)
        await client.ended(within_s=SOON_S)


# Requests under way


async def test_of_requests_whose_answers_are_not_read_few_are_made(live: Live) -> None:
    """Red when all that was read becomes requests: 15 KB for each of 27 bytes, for ever."""
    async with served(GatewayHttp.within(300, stall_s=0.3)) as port, raw_client(port) as client:
        client.stop_reading()
        client.send(GET * 200_000)
        await eventually(lambda: live.most > 0, "the first")
        client.start_reading()
        stopped = client.unsent_bytes
        client.send(GET * 100)
        assert stopped

    assert live.most <= 2


async def test_requests_behind_each_other_are_answered_in_order(live: Live) -> None:
    bodies = [b"x" * (number % 50) for number in range(300)]
    requests = [
        CHUNKED + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        if number % 3
        else b"POST /read HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for number, body in enumerate(bodies)
    ]
    async with served() as port, raw_client(port) as client:
        client.send(*requests)
        answers = [await client.response() for _ in bodies]

    assert [answer.body for answer in answers] == [str(len(body)) for body in bodies]
    assert live.most <= 60  # as many as fit into one piece of a chunked body


@pytest.mark.parametrize("size", [1, 7, 40])
async def test_requests_may_be_cut_anywhere(size: int) -> None:
    stream = (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n\r\n" + GET) * 3
    async with served() as port, raw_client(port) as client:
        for place in range(0, len(stream), size):
            client.send(stream[place : place + size])
            await asyncio.sleep(0)
        answers = [(await client.response()).body for _ in range(6)]

    assert answers == ["3", "0"] * 3


# Time


async def test_an_answer_that_is_not_read_is_dropped() -> None:
    """Red when only WebSockets are: it would be kept for ever."""
    async with served(GatewayHttp.within(300, stall_s=0.2)) as port, raw_client(port) as client:
        client.stop_reading()
        client.send(GET.replace(b"/", b"/long", 1))
        await eventually(lambda: not protocols(), "its end", SOON_S)


async def test_an_answer_that_is_read_slowly_is_not_dropped() -> None:
    async with served(GatewayHttp.within(300, stall_s=1.0)) as port, raw_client(port) as client:
        client.send(GET.replace(b"/", b"/long", 1))
        reader = client._reader
        length = 0
        while length < 16 << 20:
            length += len(await reader.read(1 << 18))
            await asyncio.sleep(0.02)  # 13 MB/s at most: longer than the bound in all


async def test_a_body_that_comes_to_a_stop_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GatewayHttp, "body_s", 0.2)
    async with served(GatewayHttp.within(300)) as port, raw_client(port) as client:
        client.send(CHUNKED, b"1\r\nx\r\n")

        await client.ended(within_s=SOON_S)


async def test_an_idle_connection_is_closed_after_its_keep_alive() -> None:
    async with served(timeout_keep_alive=1) as port, raw_client(port) as client:
        client.send(GET)
        assert (await client.response()).status == 200

        await client.ended(within_s=SOON_S)


# Others


async def test_what_was_read_is_parsed_over_several_turns() -> None:
    """Red when it is parsed in one go: 240 KB of small chunks take 60 ms of everybody's time."""
    config = uvicorn.Config(application, lifespan="off", log_config=None)
    protocol, transport = GatewayHttp(config, ServerState(), {}), MemoryTransport()
    protocol.connection_made(transport)
    protocol.data_received(CHUNKED + b"1\r\nx\r\n" * 40_000 + b"0\r\n\r\n")
    assert protocol._held
    assert not transport.reading
    await eventually(lambda: b"40000" in transport.written, "the answer")

    assert transport.reading
    protocol.connection_lost(None)


def protocols() -> list[GatewayHttp]:
    return [
        p
        for p in gc.get_objects()
        if isinstance(p, GatewayHttp) and p.transport is not None and not p.transport.is_closing()
    ]
