"""What a supervisor does for a child that has died, and what gunicorn's own flags may change."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import urllib.error
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from gateway.errors import ConfigError
from gateway.process import server
from gateway.process.server import GatewayWorker
from gateway.process.start_checks import check_redis
from gateway.process.supervisor import ServeApplication, Supervisor
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support.url import parse
from gateway.registry.redis import RedisRegistry
from gateway.settings import sources
from gateway.settings.config import Settings
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.listing import fenced_workers
from tests.support.ids import new_worker_id
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.serve import ROOT, Served
from tests.support.waiting import blocking_eventually

INFO = WorkerInfo(edge=True, handler=True, host="here", pid=7, envelope_version=2)
BROKEN_LIFESPAN = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette

@asynccontextmanager
async def lifespan(app):
    raise ValueError("no database")
    yield

app = Starlette(lifespan=lifespan)
"""
LOGGERS = (
    None, "gunicorn.error", "gunicorn.access", "uvicorn.error", "uvicorn.access", "websockets",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Supervisors own their process: put back what they change in this one."""
    for variable in ("SERVER_SOFTWARE", "GATEWAY_RUN_FOLDER", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(variable, "restored after the test")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # However late a busy machine runs the Redis.
    monkeypatch.setattr("gateway.process.dead_child.FENCE_DEADLINE_S", 10.0)
    monkeypatch.setattr(sources, "_chosen", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers[1:]:  # a worker lets uvicorn's share gunicorn's list; pytest adds to it
        logger.handlers = []
    yield
    sys.modules.pop("gateway.gunicorn_conf", None)  # whose import does something every time
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
async def registry(settings: MakeSettings) -> AsyncIterator[RedisRegistry]:
    """For the lease of a worker that has died."""
    chosen = settings()
    made = RedisRegistry(
        parse(chosen.redis_url.reveal()), prefix=chosen.redis_prefix, name="gateway.test"
    )
    yield made
    await made.aclose()


@pytest.fixture
def application(settings: MakeSettings, tmp_path: Path) -> Iterator[ServeApplication]:
    """What ``gateway serve`` runs, with a run folder of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield ServeApplication(settings(), [listener], tmp_path, in_worker=lambda: None)


@pytest.fixture
def child(application: ServeApplication) -> GatewayWorker:
    """A worker as its supervisor makes it, before the fork."""
    supervisor = Supervisor(application)
    made = GatewayWorker(1, 0, [], application, 15, supervisor.cfg, supervisor.log)
    made.tmp.close()
    made.pid = 4711
    return made


async def test_the_supervisor_fences_a_child_that_died(
    application: ServeApplication,
    child: GatewayWorker,
    settings: MakeSettings,
    registry: RedisRegistry,
    redis_server: RedisServer,
) -> None:
    await registry.renew(child.gateway_worker_id, INFO, 60)

    application.cfg.child_exit(None, child)

    assert fenced_workers(redis_server, settings()) == {child.gateway_worker_id}


def test_the_supervisor_knows_the_id_that_its_child_has_chosen(
    child: GatewayWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it is kept by the child: the supervisor would fence somebody who never lived."""
    first, chosen = child.gateway_worker_id, new_worker_id()
    monkeypatch.setattr(server, "reachable_worker_id", lambda _settings: chosen)
    monkeypatch.setattr(UvicornWorker, "init_process", lambda _worker: None)
    pid = os.fork()
    if pid == 0:
        try:
            child.init_process()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    assert child.gateway_worker_id == chosen != first


def test_a_child_that_chooses_its_id_can_be_stopped(
    child: GatewayWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when its signals are still its supervisor's: it was killed after the drain window."""
    waits, chooses = os.pipe()

    def choose(_settings: object) -> WorkerId:
        os.write(chooses, b"!")
        signal.sigtimedwait([signal.SIGUSR2], 10)  # with a handler of before it goes on
        return new_worker_id()

    monkeypatch.setattr(server, "reachable_worker_id", choose)
    monkeypatch.setattr(UvicornWorker, "init_process", lambda _worker: None)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, lambda *_: None)
        try:
            child.init_process()
        finally:
            os._exit(0)
    os.close(chooses)
    assert os.read(waits, 1) == b"!"
    os.close(waits)
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)

    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_a_child_that_died_is_no_longer_ready(
    application: ServeApplication, child: GatewayWorker, tmp_path: Path
) -> None:
    ready = tmp_path / f"ready-{child.pid}"
    ready.touch()

    application.cfg.child_exit(None, child)

    assert not ready.exists()


def test_no_status_of_a_worker_that_has_served_ends_its_siblings(tmp_path: Path) -> None:
    """Red on gunicorn's own arbiter: it takes 3 and 4 for a failed start, and stops everything."""
    app = "tests.support.apps.badday:gateway"
    with Served(tmp_path, app, "--workers", "2") as served:
        for status in (Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR):
            before = set(served.worker_pids())
            with connect(served.ws_url) as client, suppress(ConnectionClosed):
                client.send(f"exit-process {status}")
                client.recv(timeout=20)
            blocking_eventually(
                lambda: served.ready() and set(served.worker_pids()) != before,  # noqa: B023
                "a worker in the place of the dead one",
                20,
            )
            assert served.worker_pids()[0] in before
        assert "Traceback" not in served.log
        assert served.stop() == 0


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("1 / 0", Arbiter.WORKER_BOOT_ERROR),
        (BROKEN_LIFESPAN, Arbiter.WORKER_BOOT_ERROR),
        ("raise SystemExit(4)", Arbiter.APP_LOAD_ERROR),
    ],
)
def test_workers_that_cannot_start_end_the_supervisor_with_their_status(
    tmp_path: Path, redis_server: RedisServer, text: str, status: int
) -> None:
    """Under gunicorn's command line, which looks at nothing before."""
    (tmp_path / "unstartable.py").write_text(text)
    redis = {"GATEWAY_REDIS_URL": redis_server.url}
    environment = Served(tmp_path, environment=redis).environment
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = subprocess.run(
            [sys.executable, "-m", "gunicorn", "-c", "python:gateway.gunicorn_conf", "-w", "2",
             "-b", f"fd://{listener.fileno()}", "unstartable:app"],
            env={**environment, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
            pass_fds=[listener.fileno()], cwd=tmp_path,
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    assert done.returncode == status, done.stderr
    assert "HaltServer" not in done.stderr


def test_a_redis_that_does_not_answer_is_named_without_its_password() -> None:
    url = Secret(f"redis://:open-sesame@127.0.0.1:{free_port()}/0")

    with pytest.raises(ConfigError) as refused:
        check_redis(Settings(redis_url=url))

    assert "sesame" not in str(refused.value)


def test_a_flag_of_gunicorns_own_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by gunicorn itself, from its command line."""
    monkeypatch.setenv("GATEWAY_WORKERS", "3")
    monkeypatch.setenv("GATEWAY_PORT", "8123")
    command = "gunicorn -c python:gateway.gunicorn_conf -w 5 gateway.asgi:app"
    monkeypatch.setattr(sys, "argv", command.split())

    cfg = WSGIApplication().cfg

    assert (cfg.workers, cfg.bind) == (5, ["127.0.0.1:8123"])


ROOM = 'mount -t tmpfs -o size=4m tmpfs /mnt && export TMPDIR=/mnt && exec "$@"'
MOUNT = ("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
MAY_MOUNT = subprocess.run(MOUNT, check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not MAY_MOUNT, reason="no privilege to mount (CAP_SYS_ADMIN)")
def test_a_full_disk_costs_nobody_but_the_worker_that_has_died(tmp_path: Path) -> None:
    """The next one says what it lacks, and comes as soon as there is room.

    Red with files without blocks: the next one was ended by SIGBUS, six times a second.
    """
    under = ("unshare", "--mount", "sh", "-c", ROOM, "sh")
    with Served(tmp_path / "served", "--workers", "2", under=under, wait_ready=False) as served:

        def two_serve() -> bool:
            # What they have opened has other names there: ``Served.ready`` finds none of it.
            with suppress(urllib.error.URLError):  # nobody listens yet
                return served.metric("gateway_workers") == 2
            return False

        blocking_eventually(two_serve, "two workers", 20)
        made = next(Path(f"/proc/{served.pid}/root/mnt").glob("gateway-*/metrics"))
        sparse = [f.name for f in made.iterdir() if f.stat().st_blocks * 512 < f.stat().st_size]
        assert not sparse
        fill = made.parents[1] / "fill"
        with suppress(OSError), fill.open("wb") as full:
            while True:
                full.write(bytes(4096))
        killed, stays = served.worker_pids()
        os.kill(served.pid, signal.SIGHUP)  # red when the old ones went, and no new ones came
        refused = "reload refused, the running workers stay"
        blocking_eventually(lambda: served.events(refused), "the refusal of a reload", 10)
        assert "No space left on device" in served.events(refused)[0]["error"]
        assert served.worker_pids() == [killed, stays]
        os.kill(killed, signal.SIGKILL)
        blocking_eventually(
            lambda: served.events("a worker could not start; trying again"), "a refusal", 10
        )
        [said] = served.events("no room for temporary files")
        assert "/mnt (No space left on device)" in said["error"]
        assert served.get("/readyz")[0] == 200
        blocking_eventually(lambda: served.metric("gateway_workers") == 1, "one worker", 10)
        fill.unlink()
        blocking_eventually(lambda: served.metric("gateway_workers") == 2, "two again", 20)
        assert stays in served.worker_pids()
        assert "SIGBUS" not in served.log
