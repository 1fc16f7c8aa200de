"""What a supervisor does with Redis: the look at the start, and the burial of a dead child."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.arbiter import Arbiter
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from gateway import config
from gateway.config import Secret, Settings
from gateway.errors import ConfigError
from gateway.protocol.members import WorkerInfo
from gateway.redis_support.address import parse
from gateway.registry.redis import RedisRegistry
from gateway.server import GatewayWorker
from gateway.supervisor import AFTER_DRAIN_S, BURY_S, ServeApplication, Supervisor, check_redis
from tests.integration.conftest import MakeSettings
from tests.integration.listing import buried_workers
from tests.support.inprocess import in_process
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually_async

INFO = WorkerInfo(edge=True, handler=True, host="here", pid=7, envelope_version=2)
LOGGERS = (
    None, "gunicorn.error", "gunicorn.access", "uvicorn.error", "uvicorn.access", "websockets",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Supervisors own their process: put back what they change in this one."""
    for variable in ("SERVER_SOFTWARE", "GATEWAY_RUN_FOLDER", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(variable, "restored after the test")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(config, "_chosen", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers[
        1:
    ]:  # a worker lets uvicorn's share gunicorn's list, and pytest adds to it
        logger.handlers = []
    yield
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


def child_of(arbiter: Arbiter) -> GatewayWorker:
    """A worker as a supervisor makes it, before the fork."""
    child = GatewayWorker(1, 0, [], arbiter.app, 15, arbiter.cfg, arbiter.log)
    child.pid = 4711
    child.tmp.close()
    return child


@pytest.fixture
def serve_application(settings: MakeSettings, tmp_path: Path) -> Iterator[ServeApplication]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield ServeApplication(settings(), listener, tmp_path, in_worker=lambda: None)


# The look at the start


def test_a_redis_that_keeps_what_it_is_given_is_taken_without_a_word(
    settings: MakeSettings,
) -> None:
    with capture_logs() as logs:
        check_redis(settings())

    assert logs == []


def test_a_redis_that_may_evict_leases_is_warned_of(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path, "--maxmemory-policy", "allkeys-lru") as server,
        capture_logs() as logs,
    ):
        check_redis(Settings(redis_url=Secret(server.url)))

    assert [(r["log_level"], r["maxmemory_policy"]) for r in logs] == [("warning", "allkeys-lru")]


def test_a_cluster_is_refused(tmp_path: Path) -> None:
    cluster = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with (
        RedisServer(tmp_path, *cluster) as server,
        pytest.raises(ConfigError, match="is a Cluster, which is not supported yet"),
    ):
        check_redis(Settings(redis_url=Secret(server.url)))


def test_a_redis_that_is_not_there_is_named_without_its_password() -> None:
    port = free_port()
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port}.* does not answer") as refused:
        check_redis(Settings(redis_url=Secret(f"redis://:open-sesame@127.0.0.1:{port}/0")))

    assert "sesame" not in str(refused.value)


# A dead child


async def test_a_child_that_died_is_buried_at_once(
    serve_application: ServeApplication,
    settings: MakeSettings,
    registry: RedisRegistry,
    redis_server: RedisServer,
) -> None:
    child = child_of(Supervisor(serve_application))
    await registry.renew(child.gateway_worker_id, INFO, 60)

    with capture_logs() as logs:
        serve_application.cfg.child_exit(None, child)

    assert buried_workers(redis_server, settings()) == {child.gateway_worker_id}
    assert [(r["event"], r["dead_worker"], r["pid"]) for r in logs] == [
        ("worker died", child.gateway_worker_id, 4711)
    ]


def test_a_child_that_has_left_needs_no_burial(
    serve_application: ServeApplication, settings: MakeSettings, redis_server: RedisServer
) -> None:
    child = child_of(Supervisor(serve_application))

    with capture_logs() as logs:
        serve_application.cfg.child_exit(None, child)

    assert (logs, buried_workers(redis_server, settings())) == ([], set())


def test_without_redis_a_burial_is_left_to_the_lease(
    settings: MakeSettings, tmp_path: Path
) -> None:
    away = replace(settings(), redis_url=Secret(f"redis://127.0.0.1:{free_port()}/0"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        application = ServeApplication(away, listener, tmp_path, in_worker=lambda: None)
        child = child_of(Supervisor(application))

        with capture_logs() as logs:
            application.cfg.child_exit(None, child)

    assert [r["event"] for r in logs] == ["lease of a dead worker not ended"]
    assert BURY_S <= 1  # a supervisor that waits does not look after its other workers


def test_a_dead_child_is_no_longer_ready(
    serve_application: ServeApplication, tmp_path: Path
) -> None:
    child = child_of(Supervisor(serve_application))
    ready = tmp_path / f"ready-{child.pid}"
    ready.touch()

    serve_application.cfg.child_exit(None, child)

    assert not ready.exists()


def test_every_child_has_a_name_of_its_own(serve_application: ServeApplication) -> None:
    supervisor = Supervisor(serve_application)

    assert child_of(supervisor).gateway_worker_id != child_of(supervisor).gateway_worker_id


# gunicorn's own command line


class Gunicorn:
    """``gunicorn -c python:gateway.gunicorn_conf gateway.asgi:app`` before it starts anything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
        for module in ("gateway.gunicorn_conf", "gateway.asgi"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        command = ["gunicorn", "-c", "python:gateway.gunicorn_conf", *flags, "gateway.asgi:app"]
        monkeypatch.setattr(sys, "argv", command)
        self.application = WSGIApplication()
        self.cfg = self.application.cfg
        self.arbiter = Arbiter(self.application)

    @property
    def run_folder(self) -> Path:
        found: Path = import_module("gateway.gunicorn_conf")._run_folder
        return found


@pytest.fixture
def environment(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of gunicorn's own command line are those of the environment."""
    chosen = settings()
    monkeypatch.setenv("GATEWAY_REDIS_URL", chosen.redis_url.reveal())
    monkeypatch.setenv("GATEWAY_REDIS_PREFIX", chosen.redis_prefix)
    return chosen


@pytest.mark.usefixtures("environment")
def test_gunicorn_serves_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "8123")
    monkeypatch.setenv("GATEWAY_WORKERS", "3")
    monkeypatch.setenv("GATEWAY_DRAIN_SECONDS", "45")

    cfg = Gunicorn(monkeypatch).cfg

    assert cfg.address == [("127.0.0.1", 8123)]
    assert (cfg.workers, cfg.worker_class) == (3, GatewayWorker)
    assert cfg.graceful_timeout == 45 + AFTER_DRAIN_S


@pytest.mark.usefixtures("environment")
def test_a_flag_of_gunicorn_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_WORKERS", "3")

    assert Gunicorn(monkeypatch, "-w", "5").cfg.workers == 5


@pytest.mark.parametrize(("workers", "refused"), [("1", False), ("2", True)])
def test_several_workers_need_a_broker_in_common(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workers: str,
    *,
    refused: bool,
) -> None:
    monkeypatch.delenv("GATEWAY_REDIS_URL", raising=False)
    gunicorn = Gunicorn(monkeypatch, "-w", workers)

    code: Any = None
    try:
        gunicorn.cfg.on_starting(gunicorn.arbiter)
    except SystemExit as end:
        code = end.code

    assert code == (2 if refused else None)
    assert ("GATEWAY_REDIS_URL" in capsys.readouterr().err) == refused


async def test_under_gunicorn_a_child_that_died_is_buried_too(
    environment: Settings,
    registry: RedisRegistry,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gunicorn = Gunicorn(monkeypatch)
    child = child_of(gunicorn.arbiter)
    await registry.renew(child.gateway_worker_id, INFO, 60)

    gunicorn.cfg.child_exit(gunicorn.arbiter, child)

    assert buried_workers(redis_server, environment) == {child.gateway_worker_id}


@pytest.mark.usefixtures("environment")
def test_under_gunicorn_the_run_folder_goes_with_the_supervisor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gunicorn = Gunicorn(monkeypatch)
    assert gunicorn.run_folder.is_dir()

    gunicorn.cfg.on_exit(gunicorn.arbiter)

    assert not gunicorn.run_folder.exists()


async def test_gateway_asgi_serves_the_gateway_of_the_environment(
    environment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Gunicorn(monkeypatch).application.wsgi()

    async with (
        in_process(environment, app=app, wait_ready=False) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False) as http,
    ):

        async def ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await eventually_async(ready, "readiness")
        async with connect(served.ws_url) as client:
            await client.send("hello")

            assert await client.recv() == "Received:hello"
