"""What an application answers leaves in one write, whatever it gives in which pieces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gateway.edge.sockets.uvicorn_http import GatewayHttp
from gateway.edge.sockets.whole_answers import JOINED_BYTES
from tests.support.waiting import eventually
from tests.unit.edge.sockets.test_picows_websocket import MemoryTransport


class Writes(MemoryTransport):
    """Keeps each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: Any) -> None:
        super().write(data)
        self.writes.append(bytes(data))


class Answering:
    """A protocol that answers with these events, and what it has written."""

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.given = asyncio.Event()  # all of them
        self.go_on = asyncio.Event()  # past a None
        config = uvicorn.Config(
            self.application, interface="asgi3", lifespan="off", log_config=None
        )
        self.protocol, self.transport = GatewayHttp(config, ServerState(), {}), Writes()
        self.protocol.connection_made(self.transport)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for event in self.events:
            if event is None:
                self.given.set()
                await self.go_on.wait()
            elif isinstance(event, Exception):
                raise event
            else:
                await send(event)
        self.given.set()

    async def to(self, method: str, headers: bytes = b"") -> list[bytes]:
        self.protocol.data_received(method.encode() + b" / HTTP/1.1\r\nHost: x\r\n" + headers)
        self.protocol.data_received(b"\r\n")
        await eventually(self.given.is_set, "the events")
        return self.transport.writes


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(piece: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": piece, "more_body": more}


def long(count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    return start((b"content-length", b"%d" % count)), body(b"x" * count)


async def test_head_and_body_are_one_write() -> None:
    writes = await Answering(*long(2)).to("GET")

    assert writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nxx"]


async def test_what_follows_is_a_write_each() -> None:
    pieces = [body(b"a", more=True), body(b"b", more=True), body(b"c")]
    writes = await Answering(start((b"content-length", b"3")), *pieces).to("GET")

    assert [each[-1:] for each in writes] == [b"a", b"b", b"c"]
    assert writes[1:] == [b"b", b"c"]


async def test_two_answers_of_a_connection_are_two_writes() -> None:
    answering = Answering(*long(2))
    await answering.to("GET")
    answering.given.clear()
    writes = await answering.to("GET")

    assert writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nxx"] * 2


async def test_an_empty_piece_lets_a_stream_begin() -> None:
    answering = Answering(start(), body(b"", more=True), None, body(b"late"))
    assert await answering.to("GET") == [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]

    answering.given.clear()
    answering.go_on.set()
    await eventually(answering.given.is_set, "the rest")
    assert answering.transport.writes[1:] == [b"4\r\nlate\r\n0\r\n\r\n"]


async def test_nothing_leaves_before_some_of_the_body_is_there() -> None:
    """ASGI: until then the application may still fail, and be answered for."""
    answering = Answering(start(), None, body(b"x"))

    assert await answering.to("GET") == []
    answering.go_on.set()
    await eventually(lambda: bool(answering.transport.writes), "the answer")


@pytest.mark.parametrize(("count", "writes"), [(JOINED_BYTES, 1), (JOINED_BYTES + 1, 2)])
async def test_a_long_body_is_not_copied(count: int, writes: int) -> None:
    written = await Answering(*long(count)).to("GET")

    assert len(written) == writes
    assert b"".join(written).endswith(b"\r\n\r\n" + b"x" * count)


async def test_an_answer_without_a_body_is_its_head() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    assert await Answering(*long(2)).to("HEAD") == [head]
    assert await Answering(start(status=204), body(b"")).to("GET") == [
        b"HTTP/1.1 204 No Content\r\n\r\n"
    ]


async def test_the_last_answer_of_a_connection_leaves_before_its_end() -> None:
    for method in ("GET", "HEAD"):
        answering = Answering(*long(2))
        [written] = await answering.to(method, b"Connection: close\r\n")

        assert b"connection: close" in written
        assert answering.transport.closing


async def test_an_application_that_fails_after_the_head_shows_it_and_ends() -> None:
    answering = Answering(start((b"content-length", b"2")), ValueError())
    answering.given.set()
    await answering.to("GET")
    await eventually(lambda: answering.transport.closing, "the end")

    assert answering.transport.writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"]


async def test_a_body_that_is_asked_for_is_asked_for_at_once() -> None:
    answering = Answering(*long(2))
    protocol = answering.protocol
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n")
    protocol.data_received(b"Expect: 100-continue\r\n\r\n")
    await eventually(lambda: bool(answering.transport.writes), "the wish")
    protocol.data_received(b"x")
    await eventually(answering.given.is_set, "the answer")

    assert answering.transport.writes == [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nxx",
    ]
