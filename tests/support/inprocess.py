"""Gateways served inside the test's own event loop: real sockets, real Redis, no processes."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from starlette.types import ASGIApp
from uvicorn.config import Config

from gateway.app import Gateway, create_app, echo_gateway
from gateway.process.server import GatewayServer, uvicorn_options
from gateway.settings.config import Settings
from gateway.settings.values import Secret
from gateway.worker.worker import Worker
from tests.support.waiting import eventually

BEGUN_S = 30.0  # however busy the machine is
ENDED_S = 20.0
CANCELLED_S = 10.0


class InProcess(GatewayServer):
    """One server of one gateway."""

    def __init__(self, config: Config, gateway: Gateway) -> None:
        super().__init__(config)
        self.gateway = gateway
        self.port = 0

    @property
    def worker(self) -> Worker:
        return self.gateway.worker

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/communicate"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A test's signals are not the server's."""
        yield

    def _workers(self) -> list[Worker]:
        return [
            worker
            for worker in super()._workers()
            if worker.parts.handlers is self.gateway.handlers
        ]


@asynccontextmanager
async def in_process(
    settings: Settings,
    gateway: Gateway | None = None,
    *,
    wait_ready: bool = True,
    app: ASGIApp | None = None,
    listener: socket.socket | None = None,
    **uvicorn: Any,
) -> AsyncIterator[InProcess]:
    """Serve one gateway on a free port until the end of the block.

    Args:
        app: What to serve instead of the gateway's own application.
        listener: Where, if not on a free port of 127.0.0.1.
        uvicorn: Options that take the place of ours, ``ws="wsproto"`` for instance.
    """
    gateway = gateway or echo_gateway()
    gateway.settings = settings
    options = {**uvicorn_options(settings), **uvicorn}
    server = InProcess(Config(app or create_app(gateway, settings), **options), gateway)
    listener = listener or socket.create_server(("127.0.0.1", 0))
    if listener.family != socket.AF_UNIX:
        server.port = listener.getsockname()[1]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        with _starting(server):
            await eventually(lambda: server.started or task.done(), "the start", BEGUN_S)
        if wait_ready:
            await eventually(lambda: server.worker.ready, "readiness", BEGUN_S)
        yield server
    finally:
        server.should_exit = True
        await _ended(task)


_starts: set[InProcess] = set()


@contextmanager
def _starting(server: InProcess) -> Iterator[None]:
    """A worker that ends before its server listens asks for it by SIGTERM: not of a whole run."""
    if not _starts:
        signal.signal(signal.SIGTERM, _end_those_that_start)
    _starts.add(server)
    try:
        yield
    finally:
        _starts.remove(server)
        if not _starts:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_those_that_start(*_: object) -> None:
    for server in _starts:
        server.should_exit = True


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of a server, or fail and say what it waits for.

    A whole run that hangs is ended with its process, and nobody knows where it was.
    """
    await asyncio.wait({task}, timeout=ENDED_S)
    if not task.done():
        left = "\n".join(map(_where, asyncio.all_tasks()))
        task.cancel()
        await asyncio.wait({task}, timeout=CANCELLED_S)
        pytest.fail(f"no end of a server within {ENDED_S} s; what is left:\n{left}")
    if not task.cancelled():
        task.result()


def _where(task: asyncio.Task[Any]) -> str:
    text = StringIO()
    task.print_stack(file=text)
    return text.getvalue()


@asynccontextmanager
async def cluster(
    settings: Settings, count: int, gateways: list[Gateway] | None = None
) -> AsyncIterator[list[InProcess]]:
    """Several workers that know each other."""
    async with AsyncExitStack() as stack:
        made = []
        for place in range(count):
            gateway = gateways[place] if gateways else None
            made.append(await stack.enter_async_context(in_process(settings, gateway)))
        await eventually(
            lambda: all(len(s.worker.parts.members.known) == count for s in made),
            "acquaintance",
            BEGUN_S,
        )
        yield made


def redis_settings(url: str, prefix: str, **changes: Any) -> Settings:
    """Settings for a test: this Redis, a prefix of its own, a short drain."""
    base = Settings(redis_url=Secret(url), redis_prefix=prefix, drain_seconds=0.2, trace=True)
    return replace(base, **changes)
