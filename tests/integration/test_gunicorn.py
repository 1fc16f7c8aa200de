"""What gunicorn is told by ``gateway.gunicorn_conf``, and what a supervisor does with Redis."""

from __future__ import annotations

import logging
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from websockets.asyncio.client import connect

from gateway.app import WORKER_ID_VARIABLE
from gateway.errors import ConfigError
from gateway.process.dead_child import fence_child
from gateway.process.server import GatewayWorker
from gateway.process.start_checks import check_redis
from gateway.process.supervisor import Logger
from gateway.protocol.ids import is_worker_id
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support.url import parse
from gateway.registry.redis import RedisRegistry
from gateway.settings import sources
from gateway.settings.config import Settings
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.listing import fenced_workers, listed_workers
from tests.support.inprocess import in_process
from tests.support.logs import capture_logs
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.serve import ROOT

LOGGERS = (
    None,
    "gunicorn.error",
    "gunicorn.access",
    "uvicorn.error",
    "uvicorn.access",
    "websockets",
)
INFO = WorkerInfo(edge=True, handler=True, host="here", pid=7, envelope_version=2)

APPLICATION = """
from gateway import Gateway, Message

gateway = Gateway()

@gateway.on_message
async def shout(message: Message) -> str:
    return message.text.upper()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where run folders go. Settings, environment and logging of the process are put back."""
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    for name in ("GATEWAY_RUN_FOLDER", "PROMETHEUS_MULTIPROC_DIR", WORKER_ID_VARIABLE):
        monkeypatch.setenv(name, "restored after the test")
    monkeypatch.setattr(sources, "_chosen", None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # However late a busy machine runs the Redis.
    monkeypatch.setattr("gateway.process.dead_child.FENCE_DEADLINE_S", 10.0)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield tmp_path
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def child(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayWorker]:
    """gunicorn's view of a worker process, which has not been forked."""
    monkeypatch.setattr(sources, "_chosen", settings(message_bytes=4321))
    worker = unforked()
    yield worker
    worker.tmp.close()


def unforked() -> GatewayWorker:
    cfg = Config()
    worker = GatewayWorker(1, os.getpid(), [], None, 30, cfg, Logger(cfg))
    # It has made uvicorn's loggers share a list of handlers with gunicorn's, and pytest adds to it.
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
    return worker


def use(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setenv("GATEWAY_REDIS_URL", settings.redis_url.reveal())
    monkeypatch.setenv("GATEWAY_REDIS_PREFIX", settings.redis_prefix)


def read_conf() -> dict[str, Any]:
    """What ``-c python:gateway.gunicorn_conf`` gives gunicorn."""
    return runpy.run_module("gateway.gunicorn_conf")


def told(conf: dict[str, Any]) -> Config:
    """gunicorn's settings after it has read them; it refuses values and hooks it cannot use."""
    cfg = Config()
    for name, value in conf.items():
        if name in cfg.settings:
            cfg.set(name, value)
    return cfg


def run_folder(temporary: Path) -> Path:
    [folder] = temporary.glob("gateway-*")
    return folder


async def renew(settings: Settings, worker: GatewayWorker, *, leave: bool = False) -> None:
    """Take a lease, as the worker would in its process."""
    registry = RedisRegistry(
        parse(settings.redis_url.reveal()), prefix=settings.redis_prefix, name="test"
    )
    await registry.renew(worker.gateway_worker_id, INFO, 30)
    if leave:
        await registry.leave(worker.gateway_worker_id)
    await registry.aclose()


# gunicorn's own command line


def test_gunicorn_takes_the_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_HOST", "127.0.0.2")
    monkeypatch.setenv("GATEWAY_PORT", "8123")
    monkeypatch.setenv("GATEWAY_WORKERS", "3")

    cfg = told(read_conf())

    assert (cfg.bind, cfg.workers) == (["127.0.0.2:8123"], 3)
    assert cfg.worker_class is GatewayWorker
    assert cfg.logger_class is Logger


def test_gunicorn_takes_an_ipv6_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red with ``host:port`` as it stands: ``:::8000`` is no address."""
    monkeypatch.setenv("GATEWAY_HOST", "::")

    assert told(read_conf()).address == [("::", 8000)]


def test_gunicorn_waits_longer_than_a_drain_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DRAIN_SECONDS", "100")

    assert told(read_conf()).graceful_timeout > 100


@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_without_a_common_broker_do_not_start(
    workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = told(read_conf())
    cfg.set("workers", workers)  # as by -w, which wins over the settings

    with pytest.raises(SystemExit) as end:
        cfg.on_starting(SimpleNamespace(cfg=cfg))

    assert end.value.code == 2
    assert f"{workers} workers need a broker in common" in capsys.readouterr().err


def test_one_worker_needs_no_broker() -> None:
    cfg = told(read_conf())

    cfg.on_starting(SimpleNamespace(cfg=cfg))


def test_several_workers_with_a_broker_start(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, settings(workers=2))
    cfg = told(read_conf())
    cfg.set("workers", 2)

    cfg.on_starting(SimpleNamespace(cfg=cfg))


def test_the_run_folder_is_there_from_the_start(temporary: Path) -> None:
    told(read_conf())

    assert run_folder(temporary).is_dir()


@pytest.mark.parametrize("workers", ["2", "none"])
def test_a_start_that_is_refused_leaves_no_run_folder(tmp_path: Path, workers: str) -> None:
    started = subprocess.run(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "python:gateway.gunicorn_conf",
            "gateway.asgi:app",
        ],
        env={"TMPDIR": str(tmp_path), "GATEWAY_WORKERS": workers, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=30,
    )

    assert started.returncode != 0
    assert b"workers" in started.stderr.lower()
    assert not list(tmp_path.glob("gateway-*"))


async def test_a_child_that_died_is_forgotten_and_fenced(
    settings: MakeSettings,
    redis_server: RedisServer,
    child: GatewayWorker,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, settings())
    cfg = told(read_conf())
    folder = run_folder(temporary)
    child.pid = 12
    (folder / "ready-12").touch()
    await renew(settings(), child)

    cfg.child_exit(None, child)

    assert fenced_workers(redis_server, settings()) == {child.gateway_worker_id}
    assert not (folder / "ready-12").exists()


async def test_the_application_of_the_environment_is_served(
    settings: MakeSettings, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "shouting.py").write_text(APPLICATION)
    monkeypatch.syspath_prepend(temporary)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("GATEWAY_APP", "shouting:gateway")
    app = runpy.run_module("gateway.asgi")["app"]
    shouting = sys.modules.pop("shouting").gateway
    async with (
        in_process(settings(), shouting, app=app) as served,
        connect(served.ws_url) as client,
    ):
        await client.send("hello")

        assert await client.recv() == "HELLO"


# A worker's death


async def test_a_dead_worker_is_fenced_and_named(
    settings: MakeSettings, redis_server: RedisServer, child: GatewayWorker
) -> None:
    await renew(settings(), child)

    with capture_logs() as logs:
        fence_child(parse(redis_server.url), settings(), child)

    assert fenced_workers(redis_server, settings()) == {child.gateway_worker_id}
    assert [(log["event"], log["dead_worker"]) for log in logs] == [
        ("worker died", child.gateway_worker_id)
    ]


async def test_a_worker_that_left_by_itself_is_not_fenced(
    settings: MakeSettings, redis_server: RedisServer, child: GatewayWorker
) -> None:
    await renew(settings(), child, leave=True)

    with capture_logs() as logs:
        fence_child(parse(redis_server.url), settings(), child)

    assert logs == []
    assert fenced_workers(redis_server, settings()) == set()
    assert listed_workers(redis_server, settings()) == set()


def test_without_redis_a_dead_worker_is_left_to_its_lease(
    settings: MakeSettings, child: GatewayWorker
) -> None:
    nowhere = parse(f"redis://127.0.0.1:{free_port()}/0")

    with capture_logs() as logs:
        fence_child(nowhere, settings(), child)

    assert [log["event"] for log in logs] == ["lease of a dead worker not ended"]


# What a Redis must be


def complaints(url: str) -> list[dict[str, Any]]:
    """What is logged of a Redis that is taken."""
    with capture_logs() as logs:
        check_redis(Settings(redis_url=Secret(url)))
    return [dict(log) for log in logs]


def test_a_redis_that_evicts_nothing_is_taken_in_silence(redis_server: RedisServer) -> None:
    assert complaints(redis_server.url) == []


def test_of_a_redis_that_may_evict_leases_there_is_a_warning(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--maxmemory-policy", "allkeys-lru") as server:
        [warning] = complaints(server.url)

    assert warning["log_level"] == "warning"
    assert warning["maxmemory_policy"] == "allkeys-lru"


def test_a_cluster_is_refused(tmp_path: Path) -> None:
    with (
        # Left to itself, the cluster's own port is 10,000 above the other, where there may be none.
        RedisServer(
            tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())
        ) as server,
        pytest.raises(ConfigError, match="is a node of a Cluster: write"),
    ):
        check_redis(Settings(redis_url=Secret(server.url)))


def test_a_redis_that_does_not_answer_is_refused_by_its_address() -> None:
    port = free_port()

    with pytest.raises(ConfigError, match=f"127.0.0.1:{port}.* does not answer"):
        check_redis(Settings(redis_url=Secret(f"redis://127.0.0.1:{port}/0")))


# gunicorn's worker


def test_a_worker_serves_within_the_limits_of_the_settings(child: GatewayWorker) -> None:
    assert child.config.ws_max_size == 4321


def test_every_worker_has_a_name_of_its_own(child: GatewayWorker) -> None:
    other = unforked()
    other.tmp.close()

    assert is_worker_id(child.gateway_worker_id)
    assert other.gateway_worker_id != child.gateway_worker_id


@pytest.mark.parametrize(("age", "code"), [(1, Arbiter.APP_LOAD_ERROR), (2, 1)])
def test_only_a_first_worker_that_cannot_start_stops_its_siblings(
    child: GatewayWorker, monkeypatch: pytest.MonkeyPatch, age: int, code: int
) -> None:
    """gunicorn stops everything on its own codes; one that replaces another must end otherwise."""
    monkeypatch.setattr("gateway.process.server.RESPAWN_PAUSE_S", 0)
    monkeypatch.setattr("uvicorn_worker.UvicornWorker.init_process", unloadable)
    child.age = age

    with pytest.raises(SystemExit) as end:
        child.init_process()

    assert end.value.code == code


def unloadable(worker: GatewayWorker) -> None:
    """gunicorn's own would change this process for good before it gets to the application."""
    raise SystemExit(Arbiter.APP_LOAD_ERROR)


def test_a_worker_goes_by_the_name_its_supervisor_knows(
    child: GatewayWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvicorn_worker.UvicornWorker.init_process", lambda worker: None)

    child.init_process()

    assert os.environ[WORKER_ID_VARIABLE] == child.gateway_worker_id


def test_changed_code_ends_its_worker_kindly(child: GatewayWorker) -> None:
    """In this process, whose SIGTERM is looked at instead of followed."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        child._code_changed("some.py")
    finally:
        signal.signal(signal.SIGTERM, before)

    assert seen == [signal.SIGTERM]
