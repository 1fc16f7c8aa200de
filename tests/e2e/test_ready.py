"""A port that says that it is ready refuses nobody, and a service manager is told when it is."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.process.systemd import EXIT_S
from gateway.protocol.deadlines import AFTER_DRAIN_S
from gateway.settings.config import Settings
from tests.support.children import mortal
from tests.support.ports import free_port
from tests.support.rawclient import handshake
from tests.support.redis_server import RedisServer
from tests.support.serve import ROOT, START_S, Served
from tests.support.waiting import eventually

WORKERS = 4


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """Where a service manager hears of its services; short, unlike the folders of pytest."""
    with (
        tempfile.TemporaryDirectory(prefix="gateway-", dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        listening.bind(f"{folder}/notify")
        listening.settimeout(START_S)
        yield listening


async def refused(port: int) -> list[int]:
    """The answers to a hundred handshakes that were no 101."""
    answers = await asyncio.gather(*(handshake(port) for _ in range(100)))
    return [answer.status for answer in answers if answer.status != 101]


async def test_a_port_that_is_ready_refuses_nobody(tmp_path: Path, manager: socket.socket) -> None:
    """Red when one worker speaks for the others, or when gunicorn tells the manager by itself."""
    environment = {"NOTIFY_SOCKET": manager.getsockname()}
    with Served(
        tmp_path, "--workers", str(WORKERS), environment=environment, wait_ready=False
    ) as served:
        await eventually(lambda: _ready(served), "readiness", START_S)
        assert await refused(served.port) == []

        said = await asyncio.to_thread(manager.recv, 1000)
        assert said.decode() == f"READY=1\nSTATUS={WORKERS} workers serve"
        assert len(served.events("worker starts")) == WORKERS
        await eventually(  # said right after it serves
            lambda: len(served.events("freed memory")) == WORKERS, "freed memory", START_S
        )
        assert served.ready()
        assert served.stop() == 0
    manager.settimeout(0)
    drain_s = Settings().drain_seconds
    said = manager.recv(1000)
    assert said.decode().split("\n") == [
        "STOPPING=1",
        f"EXTEND_TIMEOUT_USEC={(drain_s + AFTER_DRAIN_S + EXIT_S) * 1_000_000:.0f}",
        "STATUS=workers leave",
    ]
    with pytest.raises(BlockingIOError):  # each once
        manager.recv(1000)


async def test_under_gunicorns_command_line_the_manager_is_told_then_too(
    tmp_path: Path, manager: socket.socket, redis_server: RedisServer
) -> None:
    port = free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "COV_"))}
    environment = {
        **kept, "GATEWAY_REDIS_URL": redis_server.url, "GATEWAY_REDIS_PREFIX": "told",
        "GATEWAY_PORT": str(port), "GATEWAY_WORKERS": "2", "NOTIFY_SOCKET": manager.getsockname(),
    }  # fmt: skip
    command = ["-m", "gunicorn", "-c", "python:gateway.gunicorn_conf", "gateway.asgi:app"]
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *mortal([sys.executable, *command]), env=environment, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        said = await asyncio.to_thread(manager.recv, 1000)

        assert said.decode() == "READY=1\nSTATUS=2 workers serve"
        assert await refused(port) == []
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)
    assert (await asyncio.to_thread(manager.recv, 1000)).startswith(b"STOPPING=1\n")


def _ready(served: Served) -> bool:
    try:
        return served.get("/readyz")[0] == 200
    except OSError:
        return False
