"""A ``gateway serve`` of our own: how it is set up, started, awaited and ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import psutil

from loadtest.arguments import Arguments, Refused
from loadtest.metrics import get
from loadtest.redis_cluster import RedisCluster
from loadtest.stands.base import Processes
from loadtest.stands.local import LocalStand

START_S: Final = 30.0
STOP_S: Final = 40.0
ROOT: Final = Path(__file__).parents[2]
NAMESPACE: Final = "loadtest"  # of all channels


class OwnStand(LocalStand):
    """A ``gateway serve`` that lives as long as this process."""

    def __init__(self, arguments: Arguments, log_file: Path) -> None:
        key = secrets.token_hex(16)
        self.cluster = RedisCluster(arguments.masters) if arguments.masters else None
        try:
            url = {"GATEWAY_REDIS_URL": self.cluster.url} if self.cluster else {}
            self._process = _start(arguments, key, log_file, url)
        except BaseException:
            self._end_cluster()
            raise
        try:
            port = _wait_for(self._process, log_file)
            host = f"http://127.0.0.1:{port}"
            super().__init__(host, "", key, psutil.Process(self._process.pid))
        except BaseException:  # SystemExit too: somebody does not want to wait for it
            self.close()
            raise

    def processes(self) -> Processes:
        found = super().processes()
        if self.cluster is not None:
            found.redis = self.cluster.processes
        return found

    def close(self, *, at_once: bool = False) -> None:
        try:
            self._end_gateway(at_once=at_once)
        finally:
            self._end_cluster()

    def _end_cluster(self) -> None:
        if self.cluster is not None:
            self.cluster.close()

    def _end_gateway(self, *, at_once: bool) -> None:
        if at_once:
            kill_family(self._process.pid)
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except BaseException as error:  # SystemExit: somebody cannot wait
            kill_family(self._process.pid)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            self._process.wait()


def kill_family(pid: int) -> None:
    """End a process and all that it started, at once."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        for process in [first, *first.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def channels_allowed(history: int) -> dict[str, str]:
    """Settings of a gateway whose channels the load test may use."""
    clients = ("subscribe", "publish", "history")
    namespace = {
        "name": NAMESPACE,
        **{f"allow_{what}_for_{who}": True for what in clients for who in ("client", "anonymous")},
        "history_size": history,
        "history_ttl": "300s",
        "allow_positioning": True,
        "allow_recovery": True,
    }
    return {
        "GATEWAY_CHANNEL": json.dumps({"namespaces": [namespace]}),
        "GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN": "on",
    }


def _start(
    arguments: Arguments, key: str, log_file: Path, also: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        "GATEWAY_TRACE": "on",
        "GATEWAY_DRAIN_SECONDS": "10",
        "PYTHONPATH": str(ROOT),
        **(channels_allowed(arguments.history) if arguments.history else {}),
        **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        "GATEWAY_API_KEYS": key,
        **also,
    }
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0", "--workers"]
    command.append(str(arguments.workers))
    # It ends with us, also when we are killed (where that can be had).
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "TERM", *command]
    with log_file.open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment,
            start_new_session=True,
        )  # fmt: skip


def _wait_for(process: subprocess.Popen[bytes], log_file: Path) -> int:
    """Wait until it is ready. Returns its port."""

    def port() -> int:
        found = re.search(r"^Gateway at http://[^:]+:(\d+)", log_file.read_text(), re.MULTILINE)
        return int(found[1]) if found else 0

    _until(process, log_file, lambda: port() != 0)
    address = f"http://127.0.0.1:{port()}"
    _until(process, log_file, lambda: _ready(address))
    return port()


def _ready(address: str) -> bool:
    return get(f"{address}/readyz") is not None


def _until(process: subprocess.Popen[bytes], log_file: Path, check: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not check():
        if process.poll() is not None or time.monotonic() > end:
            tail = log_file.read_text(errors="replace").strip().splitlines()[-1:]
            raise Refused(f"the gateway did not start: {' '.join(tail) or 'it said nothing'}")
        time.sleep(0.05)
