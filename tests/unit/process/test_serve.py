"""``gateway serve`` up to its first worker: the port, the greeting, and what stops the start."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.errors import ConfigError
from gateway.process.serve import RELOAD_DRAIN_S, announce, listen, serve
from gateway.settings import sources
from gateway.settings.config import Settings
from gateway.settings.sources import current
from gateway.settings.values import Secret
from tests.support.ports import free_port


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging belongs to the process: put it back as it was."""
    loggers = [
        logging.getLogger(n) for n in (None, "uvicorn.error", "uvicorn.access", "websockets")
    ]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where run folders go. What a start leaves in the process is put back afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(sources, "_chosen", None)
    for variable in ("GATEWAY_RUN_FOLDER", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(variable, "restored after the test")
    return tmp_path


def greeting(capsys: pytest.CaptureFixture[str], *, embedded: bool = True, **settings: Any) -> str:
    announce(Settings(**settings), 8000, broker_url="unix:///run/b.sock" if embedded else None)
    return capsys.readouterr().out


class Terminal:
    """Standard output that somebody looks at."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        """Nothing waits."""


# The port


def test_any_free_port_can_be_had() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def test_workers_inherit_the_socket() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.get_inheritable()


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:0: "):
        listen("192.0.2.1", 0)


def test_a_name_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on a\.\.b:0: "):
        listen("a..b", 0)


# The greeting


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"workers": 1}, "http://localhost:8000 (1 worker, an embedded broker)"),
        ({"workers": 2}, "http://localhost:8000 (2 workers, an embedded broker)"),
        ({"host": "0.0.0.0"}, "http://localhost:8000 "),
        ({"host": "gw.example"}, "http://gw.example:8000 "),
        ({"embedded": False}, "the broker of GATEWAY_REDIS_URL)"),
    ],
)
def test_the_greeting_says_where_and_what(
    capsys: pytest.CaptureFixture[str], settings: dict[str, Any], line: str
) -> None:
    assert line in greeting(capsys, **settings)


def test_a_log_file_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert greeting(capsys, embedded=False).count("\n") == 1


def test_the_address_of_an_embedded_broker_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert greeting(capsys).splitlines()[1:] == ["  broker     unix:///run/b.sock"]


def test_a_person_is_told_what_to_try_next(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)

    announce(Settings(), 8000, broker_url="unix:///run/b.sock")

    assert "ws://localhost:8000/communicate" in terminal.text
    assert "gateway workers" in terminal.text


def test_a_handler_has_no_endpoint_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)

    announce(Settings(role="handler"), 8000, broker_url=None)

    assert "/communicate" not in terminal.text


# What stops the start


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"redis_bin": "no-such-server"}, "no-such-server is not a program"),
        ({"redis_url": Secret("redis://127.0.0.1:1/0")}, "does not answer"),
        ({"redis_url": Secret("http://localhost")}, "redis://, rediss://, unix://"),
    ],
)
def test_without_a_broker_nothing_is_served(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        serve(Settings(port=0, **settings))


def test_a_start_that_fails_leaves_no_folder(temporary: Path) -> None:
    with pytest.raises(ConfigError):
        serve(Settings(port=0, redis_bin="no-such-server"))

    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("temporary")
def test_a_start_that_fails_gives_the_port_back() -> None:
    port = free_port()
    with pytest.raises(ConfigError):
        serve(Settings(port=port, redis_bin="no-such-server"))

    with listen("127.0.0.1", port) as listener:
        assert listener.getsockname()[1] == port


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(("wanted_s", "taken_s"), [(30.0, RELOAD_DRAIN_S), (0.0, 0.0)])
def test_whoever_edits_code_does_not_wait_for_a_drain(wanted_s: float, taken_s: float) -> None:
    settings = Settings(port=0, reload=True, drain_seconds=wanted_s, redis_bin="no-such-server")
    with pytest.raises(ConfigError):
        serve(settings)

    assert current().drain_seconds == taken_s
