"""Requests whose head does not come to an end: they do not keep a connection for ever."""

from __future__ import annotations

import asyncio
import gc

import pytest

from gateway import Connection, Gateway
from gateway.edge.sockets.uvicorn_http import GatewayHttp
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import in_process
from tests.support.rawclient import handshake, raw_client, raw_websocket, request
from tests.support.waiting import eventually

PLAIN = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_a_client_that_says_nothing_is_closed(settings: MakeSettings) -> None:
    async with (
        in_process(settings(handshake_seconds=0.2)) as served,
        raw_client(served.port) as client,
    ):
        await client.ended()


async def test_a_head_that_never_ends_is_closed(settings: MakeSettings) -> None:
    async with (
        in_process(settings(handshake_seconds=0.2)) as served,
        raw_client(served.port) as client,
    ):
        client.send(request()[:-2])

        await client.ended()


async def test_a_second_head_that_never_ends_is_closed(settings: MakeSettings) -> None:
    """Red when only the first request of a connection has a deadline."""
    async with (
        in_process(settings(handshake_seconds=1.0)) as served,
        raw_client(served.port) as client,
    ):
        client.send(PLAIN)
        assert (await client.response()).status == 200
        client.send(request()[:-2])

        await client.ended()


@pytest.mark.parametrize("length", [10, 999_999_999])
async def test_a_body_that_nobody_wants_and_that_never_ends_is_closed(
    settings: MakeSettings, length: int
) -> None:
    async with (
        in_process(settings(handshake_seconds=1.0)) as served,
        raw_client(served.port) as client,
    ):
        client.send(f"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert (await client.response()).status == 405
        client.send(b"x")

        await client.ended()


async def test_a_body_that_nobody_wants_may_end_and_a_request_follow(
    settings: MakeSettings,
) -> None:
    async with (
        in_process(settings(handshake_seconds=1.0)) as served,
        raw_client(served.port) as client,
        raw_client(served.port) as silent,
    ):
        client.send(b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        assert (await client.response()).status == 405
        client.send(b"xx" + PLAIN)
        assert (await client.response()).status == 200
        await silent.ended()

        client.send(PLAIN)
        assert (await client.response()).status == 200


async def test_requests_may_follow_each_other_past_the_deadline(settings: MakeSettings) -> None:
    async with (
        in_process(settings(handshake_seconds=1.0)) as served,
        raw_client(served.port) as client,
        raw_client(served.port) as silent,
    ):
        client.send(PLAIN)
        assert (await client.response()).status == 200
        await silent.ended()
        client.send(PLAIN)
        assert (await client.response()).status == 200

        assert (await client.upgrade()).status == 101


async def test_an_open_socket_has_no_such_deadline(settings: MakeSettings) -> None:
    async with (
        in_process(settings(handshake_seconds=1.0)) as served,
        raw_websocket(served.port) as client,
        raw_client(served.port) as silent,
    ):
        await silent.ended()
        client.say("still here")

        assert await client.texts(1) == ["Received:still here"]


async def test_the_application_may_take_longer_to_decide(settings: MakeSettings) -> None:
    gateway, others_ended = Gateway(), asyncio.Event()

    @gateway.on_connect
    async def decide(connection: Connection) -> None:
        await others_ended.wait()

    async with (
        in_process(settings(handshake_seconds=1.0), gateway) as served,
        raw_client(served.port) as silent,
    ):
        deciding = asyncio.create_task(handshake(served.port))
        await silent.ended()
        others_ended.set()

        assert (await deciding).status == 101


async def test_a_head_that_is_too_long_is_refused(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        response = await handshake(served.port, X_Long="x" * 70_000)

        assert response.status == 400


async def test_a_handshake_in_time_leaves_nothing_for_its_deadline(settings: MakeSettings) -> None:
    """Red when what was in time is kept until it would have been due."""
    async with in_process(settings(handshake_seconds=300)) as served:
        before = http_protocols()
        async with raw_websocket(served.port):
            await eventually(lambda: http_protocols() == before, "the request's end")


def http_protocols() -> int:
    gc.collect()
    return sum(isinstance(found, GatewayHttp) for found in gc.get_objects())
