"""Every example, run for real as its README says."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.examples import EXAMPLES, connected
from tests.support.serve import Served
from tests.support.trace_client import TraceClient, ask_all, served_elsewhere
from tests.support.waiting import blocking_eventually

FASTAPI = EXAMPLES / "fastapi-mount"
FROM_A_PROXY = {"X-Forwarded-For": "198.51.100.7"}


class Mounted(Served):
    """The gateway is below /ws, and so is its readiness."""

    readiness = "/ws/readyz"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/communicate"

    def metric(self, name: str, **labels: str) -> float:
        raise NotImplementedError("its metrics are at /ws/metrics")


def test_every_example_has_a_readme_and_is_run() -> None:
    folders = {folder for folder in EXAMPLES.iterdir() if folder.is_dir()}
    run = "".join(test.read_text() for test in Path(__file__).parent.glob("test_examples*.py"))

    assert {folder.name for folder in folders if not (folder / "README.md").is_file()} == set()
    assert {folder.name for folder in folders if f'EXAMPLES / "{folder.name}"' not in run} == set()


@pytest.fixture(scope="module")
def fastapi_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fastapi")
    with Mounted(
        folder, "app:app", "--workers", "2", cwd=FASTAPI,
        environment={"GATEWAY_TRACE": "on", "GATEWAY_TRUSTED_PROXIES": "127.0.0.1"},
    ) as served:  # fmt: skip
        yield served


@pytest.fixture(scope="module")
def cookie(fastapi_mount: Served) -> dict[str, str]:
    """The headers of a client that has logged in."""
    return logged_in(fastapi_mount.url)


async def test_a_mounted_gateway_answers_through_both_workers(
    fastapi_mount: Served, cookie: dict[str, str]
) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(traced(fastapi_mount.ws_url, cookie)) for _ in range(40)
        ]
        answers = await ask_all(clients)

    assert {a.text for a in answers} == {f"ann says from {c.connection}" for c in clients}
    assert len(served_elsewhere(clients, answers)) == 2


def test_the_routes_of_the_application_know_who_logged_in(
    fastapi_mount: Served, cookie: dict[str, str]
) -> None:
    assert fastapi_mount.get("/whoami", cookie) == (200, '{"user":"ann"}')
    assert fastapi_mount.get("/whoami", {"Cookie": "session=616e6e.forged"})[0] == 401


async def test_a_socket_without_a_login_is_closed_for_good(fastapi_mount: Served) -> None:
    async with connected(fastapi_mount.ws_url) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert (client.close_code, client.close_reason) == (4501, "log in first")


def test_the_page_of_a_mounted_gateway_is_below_its_path(fastapi_mount: Served) -> None:
    status, page = fastapi_mount.get("/ws/")

    assert status == 200
    assert "page.js" in page
    assert fastapi_mount.get("/ws/page.js")[0] == 200


async def test_a_mounted_gateway_believes_the_proxies_it_trusts(
    fastapi_mount: Served, cookie: dict[str, str]
) -> None:
    """Red while only the gateway's own application looked at X-Forwarded-For."""
    async with traced(fastapi_mount.ws_url, cookie | FROM_A_PROXY) as client:
        await client.ask("hello")
        listed = fastapi_mount.command("connections")

    assert re.search(rf"{re.escape(client.connection)} +ann +198\.51\.100\.7 ", listed.stdout)


async def test_stopping_drains_a_mounted_gateway(tmp_path: Path) -> None:
    options = ("app:app", "--workers", "2", "--drain-seconds", "2")
    with Mounted(tmp_path, *options, cwd=FASTAPI) as served:
        async with connected(served.ws_url, additional_headers=logged_in(served.url)) as client:
            served.signal(signal.SIGTERM)
            code = await asyncio.to_thread(served.wait, 15)
            async with asyncio.timeout(5):
                await client.wait_closed()

    assert code == 0
    assert (client.close_code, client.close_reason) == (3001, "drain")


async def test_the_fastapi_example_runs_under_plain_uvicorn(tmp_path: Path) -> None:
    with uvicorn(tmp_path, FASTAPI) as url:
        headers = logged_in(url)
        socket_url = url.replace("http", "ws", 1) + "/ws/communicate"
        async with connected(socket_url, additional_headers=headers) as client:
            await client.send("hello")

            assert await client.recv() == "ann says hello"


class uvicorn:  # noqa: N801 (reads as the command it is)
    """``uvicorn app:app`` in a folder, on a free port. A context manager; gives the URL."""

    def __init__(self, folder: Path, cwd: Path) -> None:
        self._log = folder / "uvicorn.log"
        self._environment = {**Served(folder).environment}
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> str:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "app:app", "--port", "0"],
                stdout=log, stderr=log, cwd=self._cwd, env=self._environment,
            )  # fmt: skip
        try:
            blocking_eventually(self._address, "uvicorn's address", 20)
            url = self._address()
            assert url is not None
            blocking_eventually(lambda: self._ready(url), "readiness", 10)
        except BaseException:
            self._end()
            raise
        return url

    def __exit__(self, *_: object) -> None:
        self._end()

    def _address(self) -> str | None:
        found = re.search(r"running on (http://\S+)", self._log.read_text())
        return found[1] if found else None

    def _ready(self, url: str) -> bool:
        try:
            with urllib.request.urlopen(f"{url}/ws/readyz", timeout=5):
                return True
        except OSError:
            return False

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def traced(url: str, headers: dict[str, str]) -> AsyncIterator[TraceClient]:
    offered = [Subprotocol("gateway.trace.v1")]
    async with connected(url, subprotocols=offered, additional_headers=headers) as socket:
        greeting = json.loads(await socket.recv())
        yield TraceClient(socket, greeting["connection"], greeting["worker"])


def logged_in(url: str) -> dict[str, str]:
    """Log in as ann: the headers with her cookie."""
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=5)) as connection:
        connection.request("GET", "/login/ann")
        answer = connection.getresponse()
        return {"Cookie": str(answer.headers["set-cookie"]).partition(";")[0]}
