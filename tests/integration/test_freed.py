"""What a connection leaves behind when it ends: nothing that waits for a garbage collection.

A collection that has much to do holds the event loop: after a flood of large heads, for a second.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.errors import Refused
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import handshake, raw_client, raw_websocket
from tests.support.waiting import eventually

OURS = ("gateway.edge", "gateway.handlers.dispatcher", "gateway.protocol.conversation")
THEIRS = ("uvicorn.protocols", "httptools", "starlette.datastructures", "starlette.websockets")
MARK = (b"x-mark", b"of this test")


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def of_connections() -> Counter[str]:
    """Objects that are there for a connection or a request, by type."""
    kinds: Counter[str] = Counter()
    for it in gc.get_objects():
        kind = type(it)
        if kind.__module__.startswith((*OURS, *THEIRS)):
            kinds[kind.__qualname__] += 1
        elif kind in (list, dict) and _has_mark(it):
            kinds["headers"] += 1
    return kinds


def _has_mark(it: Any) -> bool:
    values = it if type(it) is list else it.values()
    return any(type(value) is tuple and value == MARK for value in values)


def deciding() -> Gateway:
    gateway = Gateway()

    @gateway.on_connect
    async def decide(connection: Any) -> None:
        if ("x-refuse", "me") in connection.headers.items():
            raise Refused(4000, "no")

    @gateway.on_message
    async def echo(message: Any) -> str:
        return str(message.text)

    @gateway.on_disconnect
    async def leave(connection: Any) -> None:
        pass

    return gateway


async def converse(served: InProcess) -> None:
    async with raw_websocket(served.port, **{"X-Mark": MARK[1].decode()}) as client:
        client.say("hello")
        await client.texts(1)


async def refused(served: InProcess) -> None:
    async with raw_websocket(served.port, **{"X-Mark": MARK[1].decode(), "X-Refuse": "me"}) as it:
        assert (await it.rest())[-1].closing == (4000, "no")


async def not_a_handshake(served: InProcess) -> None:
    headers = {"X-Mark": MARK[1].decode(), "Sec-WebSocket-Protocol": "a," * 40}
    assert (await handshake(served.port, **headers)).status == 400


async def asked(served: InProcess) -> None:
    async with raw_client(served.port) as client:
        client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Mark: of this test\r\n\r\n")
        assert (await client.response()).status == 200


@pytest.mark.parametrize("visit", [converse, refused, not_a_handshake, asked])
@pytest.mark.usefixtures("no_collections")
async def test_a_connection_that_has_ended_is_freed_at_once(
    settings: MakeSettings, visit: Any
) -> None:
    """Red while the head, the connection and its state kept each other until a collection."""
    async with in_process(settings(), deciding()) as served:
        await visit(served)
        await eventually(lambda: not served.server_state.connections, "the end of the first")
        gc.collect()
        before = of_connections()
        for _ in range(5):
            await visit(served)

        await eventually(lambda: not of_connections() - before, "the end of all", 5)
