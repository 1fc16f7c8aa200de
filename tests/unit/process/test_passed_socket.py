"""A socket that a service manager has opened is served, and nothing else that is passed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.process import passed_socket as module
from gateway.process.passed_socket import VARIABLES, passed_socket
from gateway.process.serve import serve
from gateway.settings.config import Settings


class Manager:
    """Passes sockets to this process. Under pytest the third descriptor is somebody else's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def passes(self, descriptor: int, *, count: str = "1", pid: int | None = None) -> None:
        self._monkeypatch.setattr(module, "FIRST_DESCRIPTOR", descriptor)
        said = (str(pid or os.getpid()), count, "gateway.socket")
        for variable, value in zip(VARIABLES, said, strict=True):
            self._monkeypatch.setenv(variable, value)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    return Manager(monkeypatch)


@pytest.fixture(params=["127.0.0.1", "::1"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listener:
        yield listener


def test_nothing_is_passed_to_who_was_started_by_hand() -> None:
    assert passed_socket() is None


def test_the_socket_is_taken_once(manager: Manager, listening: socket.socket) -> None:
    manager.passes(listening.fileno())
    taken = passed_socket()

    assert taken is not None
    try:
        assert taken.getsockname() == listening.getsockname()
        assert taken.get_inheritable()
        assert not set(VARIABLES) & set(os.environ)  # or gunicorn would take it as well
        assert passed_socket() is None
    finally:
        taken.detach()


def test_what_was_passed_to_another_process_is_not_ours(
    manager: Manager, listening: socket.socket
) -> None:
    manager.passes(listening.fileno(), pid=os.getppid())

    assert passed_socket() is None
    assert not set(VARIABLES) & set(os.environ)


@pytest.mark.parametrize("count", ["0", "2", "x", ""])
def test_another_number_of_sockets_stops_the_start(
    manager: Manager, listening: socket.socket, count: str
) -> None:
    manager.passes(listening.fileno(), count=count)

    with pytest.raises(ConfigError, match=f"LISTEN_FDS={count} sockets were passed, where one is"):
        passed_socket()


def test_a_file_is_no_socket(manager: Manager, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        manager.passes(file.fileno())

        with pytest.raises(ConfigError, match="descriptor 3 is no socket"):
            passed_socket()


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        (socket.AF_INET, socket.SOCK_STREAM),  # Accept=yes
        (socket.AF_INET, socket.SOCK_DGRAM),
        (socket.AF_UNIX, socket.SOCK_STREAM),
    ],
)
def test_what_does_not_listen_for_tcp_stops_the_start(
    manager: Manager, family: socket.AddressFamily, kind: socket.SocketKind
) -> None:
    with socket.socket(family, kind) as passed:
        manager.passes(passed.fileno())

        with pytest.raises(ConfigError, match="not one that listens for TCP"):
            passed_socket()
        passed.getsockname()  # still open


def test_a_unix_socket_that_listens_is_none_for_clients(manager: Manager, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(str(tmp_path / "s"))
        passed.listen()
        manager.passes(passed.fileno())

        with pytest.raises(ConfigError, match="not one that listens for TCP"):
            passed_socket()


def test_the_passed_address_counts_and_not_that_of_the_settings(manager: Manager) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        manager.passes(os.dup(listening.fileno()))

        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} needs another port"):
            serve(Settings(port=1, admin_bind=f"127.0.0.1:{port}"))
