"""A port of its own for backends and figures: nothing of theirs is on the port of the sockets."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.ports import free_port
from tests.support.serve import Served
from tests.support.trace_client import trace_clients
from tests.support.waiting import blocking_eventually

KEY = "the-key"
FOR_BACKENDS = [
    "/@connections",
    "/@workers",
    "/@users/ali",
    "/@openapi.json",
    "/metrics",
    "/admin/",
]
FOR_CLIENTS = ["/", "/rules.js", "/page.js"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    variables = {
        "GATEWAY_ADMIN_BIND": "127.0.0.1:0",
        "GATEWAY_API_KEYS": KEY,
        "GATEWAY_TRACE": "on",
        "GATEWAY_DRAIN_SECONDS": "1",
    }
    folder = tmp_path_factory.mktemp("admin")
    with Served(folder, "--workers", "2", environment=variables) as served:
        blocking_eventually(lambda: len(served.worker_pids()) == 2, "two workers")
        yield served


def admin_url(served: Served) -> str:
    [url] = re.findall(r"^  backends   (http://\S+)$", served.log, re.MULTILINE)
    return str(url)


def call(url: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
    headers = {"authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("path", FOR_BACKENDS)
def test_what_is_for_backends_is_on_the_admin_port_only(served: Served, path: str) -> None:
    assert call(admin_url(served) + path)[0] == 200
    status, text = call(served.url + path)
    assert (status, "/communicate (the socket)" in text) == (404, True)


@pytest.mark.parametrize("path", FOR_CLIENTS)
def test_what_is_for_clients_is_on_the_other_port_only(served: Served, path: str) -> None:
    assert call(served.url + path)[0] == 200
    status, text = call(admin_url(served) + path)
    assert (status, "/@openapi.json, which lists the calls" in text) == (404, True)


def answers_200(url: str) -> bool:
    return call(url)[0] == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_may_ask_on_both(served: Served, path: str) -> None:
    for url in (served.url, admin_url(served)):
        # What one worker knows of itself reaches the others within a second.
        blocking_eventually(partial(answers_200, url + path), f"readiness at {url}")


async def test_no_socket_is_opened_on_the_admin_port(served: Served) -> None:
    url = admin_url(served).replace("http:", "ws:") + "/communicate"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, proxy=None):
            pass

    assert refused.value.response.status_code in (403, 404)


async def test_a_header_does_not_make_one_port_the_other(served: Served) -> None:
    host = admin_url(served).removeprefix("http://")
    lies = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Port": host.split(":")[1]}

    assert served.get("/metrics", lies)[0] == 404


def test_every_worker_listens_on_the_admin_port(served: Served) -> None:
    port = int(admin_url(served).rpartition(":")[2])
    listening = [
        pid
        for pid in served.worker_pids()
        for found in psutil.Process(pid).net_connections("tcp")
        if found.status == psutil.CONN_LISTEN and found.laddr.port == port
    ]

    assert listening == served.worker_pids()


async def test_a_push_by_the_admin_port_reaches_every_socket(served: Served) -> None:
    async with trace_clients(served.ws_url, 20) as clients:
        paths = [f"/@connections/{client.connection}" for client in clients]
        answers = [
            await asyncio.to_thread(call, admin_url(served) + p, "POST", b"hi") for p in paths
        ]
        pushed = [json.loads(await client.socket.recv()) for client in clients]

    assert answers == [(200, '{"receipt":"written"}')] * 20
    assert pushed == [{"push": "hi"}] * 20


def test_the_two_ports_must_differ(tmp_path: Path) -> None:
    port = free_port()
    served = Served(tmp_path, environment={"GATEWAY_ADMIN_BIND": f"127.0.0.1:{port}"})

    ended = served.command("serve", "--port", str(port))

    assert ended.returncode == 2
    assert ended.stderr == (
        f"gateway: GATEWAY_ADMIN_BIND=127.0.0.1:{port} needs another port than GATEWAY_PORT\n"
    )
