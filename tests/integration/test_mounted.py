"""A gateway inside of another application, served by a server that knows nothing of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from gateway import Connection, Gateway, Message
from gateway.edge.sockets.picows_websocket import GatewayWebSocket
from gateway.errors import NotRunning
from tests.integration.conftest import MakeSettings
from tests.integration.listing import all_keys, listed_workers
from tests.support.inprocess import in_process
from tests.support.logs import capture_logs
from tests.support.rawclient import handshake, raw_client, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


@asynccontextmanager
async def stock_server(
    app: Starlette, ws: str | type[GatewayWebSocket] = "websockets-sansio"
) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """Plain uvicorn. Yields its port and itself."""
    config = uvicorn.Config(app, ws=ws, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await eventually(lambda: server.started or serving.done(), "the start", 30)
            yield listener.getsockname()[1], server
        finally:
            server.should_exit = True
            await serving


def echoing(settings: MakeSettings) -> Gateway:
    gateway = Gateway(settings())

    @gateway.on_message
    async def answer(message: Message) -> str:
        return message.text

    return gateway


def host_application(gateway: Gateway) -> Starlette:
    return Starlette(lifespan=gateway.lifespan, routes=[Mount("/ws", gateway.asgi())])


async def test_it_works_under_the_path_it_is_mounted_at(settings: MakeSettings) -> None:
    gateway = echoing(settings)
    async with stock_server(host_application(gateway)) as (port, _):
        await eventually(lambda: gateway.worker.ready, "readiness")
        async with raw_websocket(port, "/ws/communicate") as client:
            client.say("hello")
            assert await client.texts(1) == ["hello"]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            pages = ("/ws/", "/ws/readyz", "/ws/livez", "/ws/metrics", "/ws/page.js")
            assert [(await http.get(page)).status_code for page in pages] == [200] * 5
            assert (await http.get("/readyz")).status_code == 404


async def test_our_protocol_class_works_under_plain_uvicorn(settings: MakeSettings) -> None:
    gateway = echoing(settings)
    async with stock_server(host_application(gateway), GatewayWebSocket) as (port, _):
        await eventually(lambda: gateway.worker.ready, "readiness")
        async with raw_websocket(port, "/ws/communicate") as client:
            client.say("hello")
            assert await client.texts(1) == ["hello"]


async def test_it_shares_the_work_with_workers_of_other_servers(settings: MakeSettings) -> None:
    gateway = echoing(settings)
    async with (
        in_process(settings(role="handler")) as other,
        stock_server(host_application(gateway)) as (port, _),
    ):
        await eventually(lambda: gateway.worker.ready, "readiness")
        await eventually(lambda: len(gateway.worker.parts.members.handlers) == 2, "acquaintance")
        answers = set()
        for _attempt in range(40):
            async with raw_websocket(port, "/ws/communicate") as client:
                client.say("hello")
                answers |= set(await client.texts(1))
            if len(answers) == 2:
                break

        assert answers == {"hello", "Received:hello"}
        assert other.worker.ready


async def test_without_the_lifespan_clients_are_refused_and_one_line_says_why(
    settings: MakeSettings,
) -> None:
    gateway = echoing(settings)
    bare = Starlette(routes=[Mount("/ws", gateway.asgi())])
    async with stock_server(bare) as (port, _):
        with capture_logs() as logs:
            answers = [await handshake(port, "/ws/communicate") for _ in range(3)]

        assert [answer.status for answer in answers] == [503] * 3
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        assert [line["event"] for line in logs] == [str(NotRunning())]
        async with raw_client(port) as client:
            client.send(b"GET /ws/readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await client.response()).status == 503


async def test_its_lease_ends_with_the_application(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    """Red when only our own server lets a worker leave: others would wait for a lease's end."""
    own, gateway, gone = settings(), echoing(settings), list[str]()

    @gateway.on_disconnect
    async def note(connection: Connection) -> None:
        gone.append(connection.id)

    async with stock_server(host_application(gateway)) as (port, server):
        await eventually(lambda: gateway.worker.ready, "readiness")
        me = gateway.worker.me
        async with raw_websocket(port, "/ws/communicate") as client:
            client.say("hello")
            await client.texts(1)
            server.should_exit = True
            await client.rest()

    assert me not in listed_workers(redis_server, own)
    assert not {key for key in all_keys(redis_server, own) if me in key}
    assert len(gone) == 1
