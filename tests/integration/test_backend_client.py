"""``gateway.client`` in a process that is no worker: it always answers or raises, and ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

import gateway
from gateway import NotRunning, Receipt
from gateway.backend_client.asynchronous import AsyncClient
from gateway.backend_client.blocking import Client
from gateway.commands import Send
from gateway.errors import BrokerUnavailable, ConfigError
from tests.integration.conftest import MakeSettings
from tests.support.ids import new_connection_id
from tests.support.inprocess import in_process
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.rawclient import raw_websocket
from tests.support.redis_server import RedisServer

SOON_S = 5.0


@pytest.fixture
def somebody(redis_server: RedisServer) -> Iterator[str]:
    """The id of a connection whose owner hears, and never answers."""
    connection = new_connection_id()
    with redis_server.client() as redis, redis.pubsub() as silent:
        silent.subscribe(f"gw:inbox:{connection[:16]}")
        yield connection


@contextmanager
def clients_threads() -> Iterator[None]:
    """No thread of a client's is left at the end."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "gateway client"]


def test_whoever_waits_when_the_client_ends_is_told(
    redis_server: RedisServer, somebody: str
) -> None:
    told: list[object] = []

    def send(client: Client) -> None:
        try:
            told.append(client.send(somebody, "x"))
        except NotRunning:
            told.append(NotRunning)

    with clients_threads():
        with gateway.client(redis_server.url) as client:
            waiting = [threading.Thread(target=send, args=(client,)) for _ in range(4)]
            for thread in waiting:
                thread.start()
            while client._asynchronous._requests_to_owners.unanswered < 4:
                time.sleep(0.001)
        for thread in waiting:
            thread.join(SOON_S)

    assert len(told) == 4
    assert set(told) <= {NotRunning, Receipt.UNREACHABLE}


def test_after_its_end_a_client_does_not_run(redis_server: RedisServer, somebody: str) -> None:
    with gateway.client(redis_server.url) as client:
        pass

    with pytest.raises(NotRunning, match=r"^this client is closed: "):
        client.send(somebody, "x")


USES: Final[dict[str, Callable[[AsyncClient], Awaitable[object]]]] = {
    "send": lambda client: client.send("x", "x"),
    "disconnect": lambda client: client.disconnect("x"),
    "send_to_user": lambda client: client.send_to_user("ann", "x"),
    "disconnect_user": lambda client: client.disconnect_user("ann"),
    "connections": lambda client: client.connections(user="ann"),
    "batch": lambda client: client.batch([Send("x", "x")]),
    "publish": lambda client: client.publish("hall", 1),
    "subscribe": lambda client: client.subscribe("x", "hall"),
    "channels": lambda client: client.channels(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_after_its_end_an_asynchronous_client_says_that_it_is_closed(
    redis_server: RedisServer, use: Callable[[AsyncClient], Awaitable[object]]
) -> None:
    """Red when it asks: a connection to Redis would be opened that nobody closes."""
    async with gateway.client(redis_server.url) as client:
        pass

    with pytest.raises(NotRunning, match=r"^this client is closed: "):
        await use(client)


async def test_what_an_asynchronous_client_asks_as_it_ends_reaches_nobody(
    redis_server: RedisServer, somebody: str
) -> None:
    async with gateway.client(redis_server.url) as client:
        asked = asyncio.create_task(client.send(somebody, "x"))
        await asyncio.sleep(0)

    async with asyncio.timeout(SOON_S):
        assert await asked is Receipt.UNREACHABLE


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_in_a_forked_child_a_client_does_not_run(redis_server: RedisServer, somebody: str) -> None:
    with gateway.client(redis_server.url) as client:
        child = os.fork()
        if child == 0:
            try:
                client.send(somebody, "x")
            except NotRunning as error:
                os._exit(7 if "forked" in str(error) else 1)
            os._exit(1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 7


def test_a_client_is_entered_once(redis_server: RedisServer) -> None:
    shared = gateway.client(redis_server.url)
    with clients_threads(), shared, pytest.raises(RuntimeError, match="one for each"):
        shared.__enter__()


def test_a_redis_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.backend_client.client.CONNECT_S", 0.2)
    with (
        clients_threads(),
        pytest.raises(BrokerUnavailable, match="does not answer"),
        gateway.client(f"redis://127.0.0.1:{free_port()}/0"),
    ):
        pass


def test_a_process_that_has_set_up_no_logging_sees_nothing_on_its_standard_output() -> None:
    script = (
        "import gateway\nfrom gateway.backend_client import client; client.CONNECT_S = 0.3\n"
        f"with gateway.client('redis://127.0.0.1:{free_port()}/0'): pass"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )

    assert ran.stdout == ""
    assert "BrokerUnavailable" in ran.stderr
    assert "debug" not in ran.stderr


async def test_who_is_not_let_in_is_told_so_and_not_that_nobody_answers(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.backend_client.client.CONNECT_S", 0.2)
    url = f"redis://nobody:guess@127.0.0.1:{redis_server.port}/0"

    with pytest.raises(BrokerUnavailable, match=r"lets nobody in .* \(tried for 0\.2 s\)"):
        async with gateway.client(url):
            pass


@pytest.mark.parametrize("command", [["publish", "a", "1"], ["send", "x", "text"]])
def test_a_command_that_reaches_no_redis_says_so_in_one_line(command: list[str]) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    script = (
        "from gateway.backend_client import client; client.CONNECT_S = 0.3\n"
        "from gateway.cli.main import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, *command, "--redis-url", url],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert ran.stderr.startswith(f"gateway: {url} does not answer: ")
    assert ran.stderr.endswith("Connection refused. (tried for 0.3 s)\n")
    assert (ran.stdout, ran.returncode) == ("", 1)


@pytest.mark.parametrize(
    ("what", "command", "given_by"),
    [
        ("no redis", ["serve", "--port", "0"], "--redis-url"),
        ("no redis", ["send", "x", "text"], "GATEWAY_REDIS_URL"),
        ("no sentinel", ["serve", "--port", "0"], "GATEWAY_REDIS_URL"),
        ("no sentinel", ["publish", "a", "1"], "--redis-url"),
        ("no cluster", ["workers"], "redis_url"),
        ("no cluster", ["send", "x", "text"], "--redis-url"),
    ],
)
def test_what_is_wrong_with_an_address_names_what_it_was_given_by(
    redis_server: RedisServer, tmp_path: Path, what: str, command: list[str], given_by: str
) -> None:
    at = f"127.0.0.1:{redis_server.port}"
    url, words = {
        "no redis": ("localhost:6379", " does not begin with redis://, "),
        "no sentinel": (f"redis+sentinel://{at}/main", ": what it names are no Sentinels "),
        "no cluster": (f"redis+cluster://{at}", ": what it names is no Cluster "),
    }[what]
    file = tmp_path / "gateway.toml"
    file.write_text(f'redis_url = "{url}"')
    more = {"--redis-url": ["--redis-url", url], "redis_url": ["--config", str(file)]}
    environment = {"GATEWAY_REDIS_URL": url} if given_by == "GATEWAY_REDIS_URL" else {}
    script = (
        "from gateway.backend_client import client; client.CONNECT_S = 0.3\n"
        "from gateway.cli.main import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, *command, *more.get(given_by, [])],
        capture_output=True, text=True, timeout=30, check=False, env={**os.environ, **environment},
    )  # fmt: skip

    assert ran.stderr.splitlines()[-1].startswith(f"gateway: {given_by}{words}")
    assert ran.stdout == ""


def test_a_client_that_was_not_entered_says_how_it_is_used() -> None:
    """Red with a bare AttributeError, which leaves a module of Flask or Celery without a hint."""
    client = gateway.client("redis://127.0.0.1:1/0")

    with pytest.raises(AttributeError, match=r"with gateway\.client\(\) as client:"):
        client.send_to_user("ali", "hello")  # type: ignore[attr-defined]


def test_an_address_that_is_none_is_said() -> None:
    with pytest.raises(ConfigError):
        gateway.client("http://localhost")


async def test_the_first_send_is_as_good_as_any(settings: MakeSettings) -> None:
    own = settings()
    port = urlsplit(own.redis_url.reveal()).port
    assert port is not None
    async with (
        in_process(own) as served,
        raw_websocket(served.port),
        Proxy(port, delay_s=0.05) as slow,
    ):
        [member] = served.worker.parts.hub
        for _ in range(5):
            async with gateway.client(slow.url, prefix=own.redis_prefix) as client:
                assert await client.send(member.id, "x") is Receipt.WRITTEN
