"""The path of the Centrifuge protocol through the shipped nginx."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from gateway.protocol.centrifuge.heartbeat import PING_S, PONG_S
from tests.e2e.conftest import environment
from tests.support.nginx import SHIPPED, Nginx
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.serve import Served
from tests.support.shipped_rooms import TRYING_OUT
from tests.support.waiting import eventually

PATH = "/connection/websocket"
AT_ONCE_S = 15.0


@pytest.fixture(scope="module")
def gateways(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Served]]:
    """Two whose rooms are open."""
    variables = {**environment(redis_server.url, "nginx-rooms"), **TRYING_OUT}
    with ExitStack() as stack:
        yield [
            stack.enter_context(Served(tmp_path_factory.mktemp(name), environment=variables))
            for name in ("one", "two")
        ]


def address(nginx: Nginx, path: str = PATH) -> str:
    return nginx.url.replace("http", "ws") + path


@asynccontextmanager
async def client(url: str, *, origin: str = "") -> AsyncIterator[tuple[ClientConnection, str]]:
    """A connected client of the Centrifuge protocol: its socket, and its id."""
    async with connect(url, proxy=None, origin=Origin(origin) if origin else None) as socket:
        await socket.send('{"id": 1, "connect": {}}')
        reply = json.loads(await socket.recv())
        yield socket, reply["connect"]["client"]


async def test_clients_are_spread_evenly(front: Nginx) -> None:
    async with AsyncExitStack() as stack:
        ids = [(await stack.enter_async_context(client(address(front))))[1] for _ in range(20)]

        counts = Counter(name.split(".")[0] for name in ids)
        assert sorted(counts.values()) == [10, 10]


async def test_the_page_of_the_same_host_and_port_may_connect(front: Nginx) -> None:
    async with client(address(front), origin=front.url) as (_, name):
        assert name


async def test_a_client_below_a_path_is_connected(front: Nginx) -> None:
    async with client(address(front, "/chat" + PATH)) as (_, name):
        assert name


async def test_no_token_is_in_a_log_and_the_client_is(front: Nginx) -> None:
    async with client(address(front) + "?token=opensesame") as (socket, name):
        await socket.send('{"id": 2, "rpc": {"method": "opensesame"}}')
        await socket.recv()
    await eventually(lambda: name in front.access_log, "the end of the connection")

    [line] = [json.loads(found) for found in front.access_log.splitlines() if name in found]
    assert (line["connection_id"], line["path"], line["status"]) == (name, PATH, 101)
    assert "opensesame" not in front.access_log + front.error_log


async def test_a_worker_that_does_not_answer_costs_no_handshake(
    gateways: list[Served], tmp_path: Path
) -> None:
    with Nginx(tmp_path / "nginx", [free_port(), gateways[0].port]) as nginx:
        for _ in range(4):
            async with asyncio.timeout(AT_ONCE_S), client(address(nginx)) as (_, name):
                assert name


async def test_a_handshake_that_a_full_worker_refuses_goes_to_another(
    gateways: list[Served], tmp_path: Path
) -> None:
    variables = {**gateways[0].environment, "GATEWAY_MAX_CONNECTIONS": "1"}
    small = Served(tmp_path / "small", environment=variables)
    with small, Nginx(tmp_path / "nginx", [small.port, gateways[0].port]) as nginx:
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(client(address(nginx)))
        await eventually(lambda: nginx.access_log.count("\n") == 4, "their ends")

        assert '"upstream_status":"503, 101"' in nginx.access_log


async def test_without_any_worker_clients_are_told_to_come_back_soon(deserted: Nginx) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(address(deserted), proxy=None)

    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "1"


def test_nginx_waits_for_more_than_a_ping_and_its_pong() -> None:
    """A quiet client is heard of once in an interval."""
    conf = (SHIPPED / "parts" / "gateway.conf").read_text()

    for waiting in ("proxy_read_timeout", "proxy_send_timeout"):
        [line] = [line for line in conf.splitlines() if line.startswith(waiting)]
        assert int(line.removesuffix("s;").split()[1]) >= 2 * PING_S + PONG_S
