"""Backends of every kind push to a thousand sockets behind nginx while a worker dies."""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import gateway
from gateway.backend_client.asynchronous import AsyncClient
from tests.support.crowd import Crowd
from tests.support.nginx import Nginx
from tests.support.pusher import API_KEY, Push
from tests.support.redis_server import RedisServer
from tests.support.serve import Served
from tests.support.waiting import eventually, eventually_async

CLIENTS = 1000
ROUNDS = 40
EACH = 10  # pushes of one backend in a round
STATUS = {"200": "written", "410": "gone", "429": "slow", "503": "unreachable"}

Texts = dict[str, str]  # text -> connection
Backend = Callable[[Texts], Awaitable[dict[str, str]]]  # returns text -> receipt


@pytest.fixture
def workers(own_redis: RedisServer, tmp_path: Path) -> Iterator[list[Served]]:
    environment = {
        "GATEWAY_REDIS_URL": own_redis.url,
        "GATEWAY_TRACE": "on",
        "GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
        "GATEWAY_DRAIN_SECONDS": "3",
        "GATEWAY_API_KEYS": API_KEY,
        "GATEWAY_AWS_ACCESS_KEYS": "ID:SECRET",
    }
    with (
        Served(tmp_path / "a", environment=environment) as a,
        Served(tmp_path / "b", environment=environment) as b,
    ):
        yield [a, b]


def boto3_backend(workers: Sequence[Served]) -> Backend:
    clients = [
        boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=served.url,
            region_name="eu-central-1",
            aws_access_key_id="ID",
            aws_secret_access_key="SECRET",
            config=Config(retries={"max_attempts": 2}, connect_timeout=2, read_timeout=5),
        )
        for served in workers
    ]

    def post(text: str, connection: str) -> str:
        client = random.choice(clients)
        try:
            client.post_to_connection(ConnectionId=connection, Data=text.encode())
        except client.exceptions.GoneException:
            return "gone"
        except (ClientError, BotoCoreError) as error:
            return "unreachable" if "503" in str(error) else "no answer"
        return "written"

    async def push(texts: Texts) -> dict[str, str]:
        def all_of_them() -> dict[str, str]:
            return {text: post(text, connection) for text, connection in texts.items()}

        return await asyncio.to_thread(all_of_them)

    return push


def curl_backend(workers: Sequence[Served]) -> Backend:
    async def push(texts: Texts) -> dict[str, str]:
        command = ["curl", "--silent", "--max-time", "10"]
        for place, (text, connection) in enumerate(texts.items()):
            command += ["--next"] if place else []
            command += ["--silent", "-H", f"Authorization: Bearer {API_KEY}", "-d", text]
            command += ["-o", "/dev/null", "-w", "%{http_code}\\n"]
            command += [f"{random.choice(workers).url}/@connections/{connection}"]
        ran = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False
        )
        statuses = ran.stdout.split()
        return {
            text: STATUS.get(status, "no answer")
            for text, status in zip(texts, statuses, strict=True)
        }

    return push


def python_backend(client: AsyncClient) -> Backend:
    async def push(texts: Texts) -> dict[str, str]:
        receipts = await asyncio.gather(*(client.send(c, t) for t, c in texts.items()))
        return {text: str(receipt) for text, receipt in zip(texts, receipts, strict=True)}

    return push


async def all_gone(backend: Backend, connections: Sequence[str]) -> bool:
    receipts = await backend({f"late {connection}": connection for connection in connections})
    return list(receipts.values()) == ["gone"] * EACH


async def push_on(backend: Backend, crowd: Crowd, name: str, enough: asyncio.Event) -> None:
    """Rounds of pushes to connections that are open now."""
    assert crowd.pusher is not None
    receipts, serial = crowd.pusher.receipts, itertools.count()
    rounds = 0
    while rounds < ROUNDS or not enough.is_set():
        rounds += 1
        chosen = [v for v in random.sample(crowd.clients, EACH) if v.connected]
        texts = {f"{name} {next(serial)}": visitor.connection for visitor in chosen}
        receipts.pushes.update({text: Push(connection) for text, connection in texts.items()})
        for text, receipt in (await backend(texts)).items():
            receipts.pushes[text].receipt = receipt


async def test_receipts_of_boto3_curl_and_python_are_true_while_a_worker_is_killed(
    workers: list[Served], own_redis: RedisServer, tmp_path: Path
) -> None:
    backends = {"boto3": boto3_backend(workers), "curl": curl_backend(workers)}
    with Nginx(tmp_path / "nginx", [served.port for served in workers]) as nginx:
        crowd = Crowd([nginx.ws_url], CLIENTS, per_second=0.2, pushes_per_second=0.001)
        async with crowd, gateway.client(own_redis.url) as client:
            assert crowd.pusher is not None
            receipts = crowd.pusher.receipts
            backends["python"] = python_backend(client)
            held, before = crowd.workers(), crowd.connections()
            enough = asyncio.Event()
            crowd.start_sending()
            pushing = asyncio.gather(
                *(push_on(backend, crowd, name, enough) for name, backend in backends.items())
            )
            await crowd.send_for(1.5)
            [victim] = workers[0].worker_pids()
            psutil.Process(victim).kill()
            await eventually(lambda: crowd.connected < CLIENTS, "clients seeing the kill")
            await crowd.everybody()
            enough.set()
            await pushing
            left = list(before - crowd.connections())[:EACH]
            for name, backend in backends.items():
                await eventually_async(partial(all_gone, backend, left), f"{name} told of gone", 15)
            ledger = await crowd.stop_sending()

    print(ledger.table("receipts while a worker is killed"))
    assert len(held) == 2
    assert min(held.values()) > CLIENTS / 4
    assert not ledger.broken
    assert ledger.receipts is receipts
    for name in backends:
        mine = [push for text, push in receipts.pushes.items() if text.startswith(name)]
        assert len(mine) > ROUNDS * EACH / 2
        assert sum(push.receipt == "written" for push in mine) > len(mine) / 2
