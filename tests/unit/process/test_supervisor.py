"""The supervisor's parts that need no worker: its options, its signals and what it refuses."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.arbiter import Arbiter
from starlette.applications import Starlette

from gateway.process.run_folder import (
    check_room,
    make_run_folder,
    remove_run_folder,
    reserve_metrics,
)
from gateway.process.server import GatewayWorker
from gateway.process.supervisor import ServeApplication, Supervisor
from gateway.protocol.deadlines import AFTER_DRAIN_S, SILENT_WORKER_S
from gateway.settings.config import Settings
from tests.support.logs import capture_logs

# pytest-timeout has a thread; from 3.12 on Python warns of any fork beside one. The child here only
# imports, says how it went, and ends.
forks = pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """gunicorn writes to the environment and to its loggers."""
    monkeypatch.setenv("SERVER_SOFTWARE", "restored after the test")
    loggers = [logging.getLogger(name) for name in ("gunicorn.error", "gunicorn.access")]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, level, propagate in before:
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def serving(listener: socket.socket, folder: Path, **settings: Any) -> ServeApplication:
    return ServeApplication(Settings(**settings), [listener], folder, in_worker=lambda: None)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An application in the current folder, which fails at import until it is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "supervised.py").write_text("1 / 0")
    yield "supervised"
    sys.modules.pop("supervised", None)


# Options


def test_workers_get_the_bound_socket_and_nothing_listens_twice(
    listener: socket.socket, tmp_path: Path
) -> None:
    cfg = serving(listener, tmp_path, workers=3).cfg

    assert cfg.address == [listener.fileno()]
    assert (cfg.workers, cfg.worker_class) == (3, GatewayWorker)


def test_a_drain_has_time_to_end_before_workers_are_killed(
    listener: socket.socket, tmp_path: Path
) -> None:
    cfg = serving(listener, tmp_path, drain_seconds=120.5).cfg

    assert cfg.graceful_timeout == 120 + AFTER_DRAIN_S
    assert cfg.timeout == SILENT_WORKER_S


def test_a_fork_forgets_what_only_the_supervisor_may_hold(
    listener: socket.socket, tmp_path: Path
) -> None:
    called: list[str] = []
    application = ServeApplication(
        Settings(), [listener], tmp_path, in_worker=lambda: called.append("in the worker")
    )

    application.cfg.post_fork(None, None)

    assert called == ["in the worker"]


@pytest.mark.parametrize(
    ("level", "least"), [(logging.INFO, logging.WARNING), (logging.DEBUG, logging.INFO)]
)
def test_gunicorn_is_quiet_about_normal_life_unless_debugged(
    listener: socket.socket, tmp_path: Path, level: int, least: int
) -> None:
    root = logging.getLogger()
    before = root.level
    root.setLevel(level)
    try:
        Supervisor(serving(listener, tmp_path))
    finally:
        root.setLevel(before)

    records = logging.getLogger("gunicorn.error")
    assert (records.level, records.propagate, records.handlers) == (least, True, [])


# Signals


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_first_stop_drains_and_the_second_ends_all(
    listener: socket.socket, tmp_path: Path, stop: signal.Signals
) -> None:
    supervisor = Supervisor(serving(listener, tmp_path))

    supervisor.signal(stop, None)
    supervisor.signal(stop, None)

    assert queued(supervisor) == [signal.SIGTERM, signal.SIGQUIT]


def test_other_signals_are_gunicorns(listener: socket.socket, tmp_path: Path) -> None:
    supervisor = Supervisor(serving(listener, tmp_path))

    supervisor.signal(signal.SIGHUP, None)

    assert queued(supervisor) == [signal.SIGHUP]


def queued(supervisor: Supervisor) -> list[int]:
    return [supervisor.SIG_QUEUE.get_nowait() for _ in range(supervisor.SIG_QUEUE.qsize())]


@forks
def test_a_reload_of_broken_code_starts_no_worker(
    listener: socket.socket, tmp_path: Path, module: str
) -> None:
    supervisor = Supervisor(serving(listener, tmp_path, app=f"{module}:gateway"))

    with capture_logs() as logs:
        supervisor.reload()

    assert [record["event"] for record in logs] == ["reload refused, the running workers stay"]
    assert "ZeroDivisionError" in logs[0]["error"]
    assert supervisor.worker_age == 0


# A machine that has nothing left


@pytest.fixture
def supervisor(listener: socket.socket, runtime: Path) -> Iterator[Supervisor]:
    """One that is to have two workers, of which only the fork is tried."""
    assert runtime.is_dir()
    folder = make_run_folder()
    made = Supervisor(serving(listener, folder, workers=2))
    made.pid = os.getpid()
    made.worker_class = lambda *_: SimpleNamespace(pid=0)
    yield made
    remove_run_folder(folder)


def start_all(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = iter((1001, 1002))
    monkeypatch.setattr("gunicorn.arbiter.os.fork", lambda: next(pids))
    for _ in range(2):
        supervisor.spawn_worker()


def no_process() -> int:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_one_that_cannot_be_forked_ends_no_other(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again every second, and said once a minute."""
    start_all(supervisor, monkeypatch)
    monkeypatch.setattr("gunicorn.arbiter.os.fork", no_process)

    with capture_logs() as logs:
        assert [supervisor.spawn_worker() for _ in range(3)] == [None] * 3

    [said] = logs
    assert said["event"] == "no worker can be started; trying again"
    assert "temporarily unavailable" in said["error"]
    assert [*supervisor.WORKERS] == [1001, 1002]


def test_one_that_cannot_be_forked_at_the_start_ends_it(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gunicorn.arbiter.os.fork", no_process)

    with pytest.raises(BlockingIOError):
        supervisor.spawn_worker()


def test_a_reload_that_nothing_can_be_forked_for_is_refused(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_all(supervisor, monkeypatch)
    monkeypatch.setattr("gateway.process.supervisor.check_loadable", lambda _: no_process())

    with capture_logs() as logs:
        supervisor.reload()

    assert [record["event"] for record in logs] == ["reload refused, the running workers stay"]


def test_a_run_folder_that_was_tidied_away_is_made_anew(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red: those that came instead of the dead found none, and ended; after a reload all had."""
    folder = Path(os.environ["GATEWAY_RUN_FOLDER"])
    shutil.rmtree(folder)

    with capture_logs() as logs:
        start_all(supervisor, monkeypatch)

    assert [record["event"] for record in logs] == ["run folder was gone, made anew"]
    check_room(1)
    reserve_metrics()
    assert (folder / "metrics" / f"counter_{os.getpid()}.db").exists()


def test_a_stop_drains_also_without_a_run_folder(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(os.environ["GATEWAY_RUN_FOLDER"])
    stopped: list[bool] = []
    monkeypatch.setattr(Arbiter, "stop", lambda _, graceful: stopped.append(graceful))
    supervisor.signal(signal.SIGTERM, None)

    supervisor.stop()

    assert stopped == [True]


# The application


def test_a_worker_loads_the_application_of_the_settings(
    listener: socket.socket, tmp_path: Path
) -> None:
    assert isinstance(serving(listener, tmp_path).load(), Starlette)


def test_a_worker_that_cannot_load_ends_as_gunicorn_expects(
    listener: socket.socket, tmp_path: Path, module: str
) -> None:
    application = serving(listener, tmp_path, app=f"{module}:gateway")

    with capture_logs() as logs, pytest.raises(SystemExit) as end:
        application.load()

    assert end.value.code == Arbiter.APP_LOAD_ERROR
    assert "ZeroDivisionError" in logs[0]["event"]
