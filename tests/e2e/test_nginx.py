"""nginx with the shipped configuration, in front of two gateways that share a Redis."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.e2e.conftest import environment
from tests.support.nginx import Nginx, get, self_signed
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.serve import ROOT, Served
from tests.support.trace_client import (
    ask_all,
    holders,
    served_elsewhere,
    trace_client,
    trace_clients,
)
from tests.support.waiting import eventually, eventually_async

GUIDE = ROOT / "docs" / "guides" / "reverse-proxies.md"
AT_ONCE_S = 15.0  # a handshake that waited for a proxy's default would take 60


@pytest.fixture
def doomed(own_redis: RedisServer, tmp_path: Path) -> Iterator[list[Served]]:
    """Two that one test may harm."""
    variables = environment(own_redis.url, "doomed")
    with ExitStack() as stack:
        yield [
            stack.enter_context(Served(tmp_path / name, environment=variables))
            for name in ("one", "two")
        ]


@pytest.fixture
def doomed_front(doomed: list[Served], tmp_path: Path) -> Iterator[Nginx]:
    with Nginx(tmp_path / "nginx", [served.port for served in doomed]) as nginx:
        yield nginx


async def handshakes(nginx: Nginx, count: int) -> set[str]:
    """Open so many connections, one after the other and each at once; the workers they reached."""
    workers = set()
    for _ in range(count):
        async with asyncio.timeout(AT_ONCE_S), trace_client(nginx.ws_url) as client:
            workers.add(client.worker)
    return workers


async def worker_behind(served: Served) -> str:
    async with trace_client(served.ws_url) as client:
        return client.worker


# Every message finds its way


async def test_a_hundred_connections_are_answered_also_by_workers_that_do_not_hold_them(
    front: Nginx,
) -> None:
    async with trace_clients(front.ws_url, 100) as clients:
        answers = await ask_all(clients)

        assert [a.text for a in answers] == [f"Received:from {c.connection}" for c in clients]
        assert len(served_elsewhere(clients, answers)) == 2


async def test_connections_are_spread_evenly(front: Nginx) -> None:
    async with trace_clients(front.ws_url, 100) as clients:
        counts = holders(clients)

    assert len(counts) == 2
    assert max(counts.values()) - min(counts.values()) <= 2


async def test_new_connections_go_where_the_fewest_are(
    gateways: list[Served], tmp_path: Path
) -> None:
    with Nginx(tmp_path / "nginx", [served.port for served in gateways]) as nginx:
        async with trace_clients(nginx.ws_url, 40) as clients:
            emptied = clients[0].worker
            leaving = [client for client in clients if client.worker == emptied]
            await asyncio.gather(*(client.socket.close() for client in leaving))
            # nginx counts a socket until it has seen its end on both sides, and logs it then.
            await eventually(lambda: nginx.access_log.count("\n") == len(leaving), "their ends")
            async with trace_clients(nginx.ws_url, 16) as newcomers:
                assert holders(newcomers) == {emptied: 16}


async def test_the_page_of_the_same_host_and_port_may_connect(front: Nginx) -> None:
    async with trace_client(front.ws_url, origin=front.url) as client:
        assert (await client.ask("hello")).text == "Received:hello"


async def test_the_gateway_sees_the_address_of_the_client(
    front: Nginx, gateways: list[Served]
) -> None:
    lie = {"X-Forwarded-For": "203.0.113.9"}
    source = ("127.0.0.2", 0)
    async with trace_client(front.ws_url, local_addr=source, additional_headers=lie) as client:
        await client.ask("be registered")
        rows = [json.loads(line) for line in listing(gateways[0]).splitlines()]

    addresses = {row["connection"]: row["address"] for row in rows}
    assert addresses[client.connection] == "127.0.0.2"


def listing(served: Served) -> str:
    return served.command("connections", "--json").stdout


# What is shown to the world, and what is not


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/", "/page.js", "/page.css"])
def test_what_is_for_everybody_is_served(front: Nginx, path: str) -> None:
    assert get(front, path)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/metrics?x=1",
        "/metrics/",
        "//metrics",
        "/%6detrics",
        "/livez/../metrics",
        "/chat/metrics",
        "/@connections/x",
        "/%40connections/x",
        "//@connections/x",
        "/%2f@connections/x",
        "/livez/../@connections/x",
        "/@workers",
        "/@users/x",
        "/@openapi.json",
        "/@users/../",
        "/@users/a/../../",
        "/@users/%2e%2e/",
        "/@connections/../",
        "/livez/..%2f@users/../",
        "/chat/@connections/x",
    ],
)
def test_what_is_for_machines_is_closed(front: Nginx, path: str) -> None:
    status, body, _ = get(front, path)

    assert status == 404
    assert "nginx" in body  # it did not get as far as a worker


# Below a path, and with TLS


async def test_the_page_works_below_a_path(front: Nginx) -> None:
    status, page, _ = get(front, "/chat/")
    parts = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert status == 200
    assert {"page.js", "page.css"} <= set(parts)
    assert [get(front, f"/chat/{part}")[0] for part in ("page.js", "page.css")] == [200, 200]
    url = f"ws://127.0.0.1:{front.port}/chat/communicate"
    async with trace_client(url, origin=front.url) as client:
        assert (await client.ask("below")).text == "Received:below"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return self_signed(tmp_path / "tls")


@pytest.fixture
def tls_front(
    gateways: list[Served], certificate: tuple[Path, Path], tmp_path: Path
) -> Iterator[Nginx]:
    ports = [served.port for served in gateways]
    with Nginx(tmp_path / "nginx", ports, certificate=certificate) as nginx:
        yield nginx


@pytest.fixture
def trust(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])


async def test_sockets_work_through_tls(tls_front: Nginx, trust: ssl.SSLContext) -> None:
    async with trace_client(tls_front.ws_url, ssl=trust, origin=tls_front.url) as client:
        assert (await client.ask("hello")).text == "Received:hello"


def test_the_page_is_served_through_tls(tls_front: Nginx, trust: ssl.SSLContext) -> None:
    with urllib.request.urlopen(tls_front.url + "/", timeout=5, context=trust) as answer:
        assert "<title>" in answer.read().decode()


def test_without_tls_the_same_address_with_tls_is_named(tls_front: Nginx, tmp_path: Path) -> None:
    """With the port of TLS, which was left out: whoever came by another than 443 went nowhere."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "nginx" / "plain.sock"))
        client.sendall(b"GET /a?b=c HTTP/1.0\r\nHost: chat.example\r\n\r\n")
        answer = client.recv(4096).decode()

    assert answer.startswith("HTTP/1.1 301 ")
    assert f"Location: https://chat.example:{tls_front.port}/a?b=c\r\n" in answer


def test_browsers_are_told_to_keep_to_tls(
    tls_front: Nginx, front: Nginx, trust: ssl.SSLContext
) -> None:
    with urllib.request.urlopen(tls_front.url + "/livez", timeout=5, context=trust) as answer:
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert get(front, "/livez")[2]["Strict-Transport-Security"] is None


def test_http_2_is_offered(tls_front: Nginx, trust: ssl.SSLContext) -> None:
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", tls_front.port), timeout=5) as raw,
        trust.wrap_socket(raw, server_hostname="127.0.0.1") as client,
    ):
        assert client.selected_alpn_protocol() == "h2"


# Bad days


async def test_handshakes_go_on_at_once_when_a_worker_is_killed(
    doomed: list[Served], doomed_front: Nginx
) -> None:
    survivor = await worker_behind(doomed[1])
    for pid in (doomed[0].pid, *doomed[0].worker_pids()):
        os.kill(pid, signal.SIGKILL)

    assert await handshakes(doomed_front, 20) == {survivor}


async def test_a_worker_that_came_back_takes_its_share_at_once(
    doomed: list[Served], doomed_front: Nginx, own_redis: RedisServer, tmp_path: Path
) -> None:
    survivor = await worker_behind(doomed[1])
    port = doomed[0].port
    await asyncio.to_thread(doomed[0].stop)
    assert await handshakes(doomed_front, 3) == {survivor}
    variables = environment(own_redis.url, "doomed")
    again = Served(tmp_path / "again", "--port", str(port), environment=variables)
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, again)
        async with trace_clients(doomed_front.ws_url, 20) as clients:
            counts = holders(clients)

    assert sorted(counts.values()) == [10, 10]


async def test_handshakes_go_on_at_once_while_a_worker_drains(
    doomed: list[Served], doomed_front: Nginx
) -> None:
    survivor = await worker_behind(doomed[1])
    async with trace_client(doomed[0].ws_url):
        doomed[0].signal(signal.SIGTERM)
        await eventually(lambda: doomed[0].events("drain begins"), "a drain")

        assert await handshakes(doomed_front, 20) == {survivor}


async def test_a_worker_that_is_not_ready_is_passed_over(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    async with Proxy(own_redis.port) as link:
        with ExitStack() as stack:
            served = []
            for name, url in (("good", own_redis.url), ("bad", link.url)):
                made = Served(tmp_path / name, environment=environment(url, "doomed"))
                served.append(await asyncio.to_thread(stack.enter_context, made))
            good, bad = served
            nginx = stack.enter_context(Nginx(tmp_path / "nginx", [good.port, bad.port]))
            survivor = await worker_behind(good)
            link.cut()
            await until_not_ready(bad)

            assert await handshakes(nginx, 20) == {survivor}
            await logged(nginx, "503, 101")


async def logged(nginx: Nginx, statuses: str) -> None:
    """Wait for one whose upstreams answered so: a socket is logged some time after its end."""
    line = f'"upstream_status":"{statuses}"'
    await eventually(lambda: line in nginx.access_log, f"{statuses} in the log")


async def until_not_ready(served: Served) -> None:
    async def not_ready() -> bool:
        return not await asyncio.to_thread(served.ready)

    await eventually_async(not_ready, "a worker that is not ready", 15)


async def test_a_machine_that_does_not_answer_costs_half_a_second(
    gateways: list[Served], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(no_answer())
        with Nginx(tmp_path / "nginx", [port, gateways[0].port]) as nginx:
            await handshakes(nginx, 3)

            await logged(nginx, "504, 101")


@contextmanager
def no_answer() -> Iterator[int]:
    """A port that is open and never accepts: its queue is full, as if its machine were gone."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_without_any_worker_clients_are_told_to_come_back_soon(deserted: Nginx) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(deserted.ws_url, proxy=None)

    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "1"
