"""The gateway that is tested: started here, found on this machine, in compose, or far away."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil

from loadtest.arguments import SCENARIOS, Arguments, Refused
from loadtest.redis_cluster import RedisCluster

START_S: Final = 30.0
CONNECT_S: Final = 5.0
STOP_S: Final = 40.0
ROOT: Final = Path(__file__).parents[1]
NAMESPACE: Final = "loadtest"  # of all channels

# Services of docker-compose.yml; which of them run is a matter of the profile.
SOCKETS_IN: Final = ("gateway", "edge", "watched")
HANDLERS_IN: Final = ("handler",)
REDIS_IN: Final = ("redis", "redis-1", "redis-2", "redis-3")


@dataclass
class Processes:
    """The processes of this machine that are the gateway's."""

    workers: list[psutil.Process] = field(default_factory=list)
    redis: list[psutil.Process] = field(default_factory=list)


class Stand:
    """A gateway that somebody else runs: it can be watched from afar, and nothing can be done."""

    can_be_harmed = False
    cluster: RedisCluster | None = None  # that was started for it

    def __init__(self, host: str, api: str, api_key: str) -> None:
        self.host = host
        self.api = api or host
        self.api_key = api_key

    def processes(self) -> Processes:
        return Processes()

    def kill_worker(self) -> str:
        """End one worker at once. Returns what was done, for people."""
        raise NotImplementedError

    def restart_all(self) -> str:
        """Begin to replace all workers, by the product's own means."""
        raise NotImplementedError

    def busy(self) -> bool:
        """Whether a restart that was begun has not come to its end."""
        return False

    def alone(self) -> bool:
        """Whether there is only one of what can be killed: nobody serves in its place."""
        return False

    def close(self, *, at_once: bool = False) -> None:
        """Stop what was started here."""


class LocalStand(Stand):
    """A ``gateway serve`` on this machine."""

    can_be_harmed = True

    def __init__(self, host: str, api: str, api_key: str, serve: psutil.Process) -> None:
        super().__init__(host, api, api_key)
        self.serve = serve
        self._leaving: list[psutil.Process] = []

    def processes(self) -> Processes:
        found = Processes()
        try:
            children = self.serve.children(recursive=True)
        except psutil.NoSuchProcess:
            return found
        for child in children:
            try:
                if re.match(r"(redis|valkey)-server", child.name()):
                    found.redis.append(child)
                elif (
                    child.ppid() == self.serve.pid
                    and "gateway.process.embedded_broker" not in child.cmdline()
                ):
                    found.workers.append(child)
            except psutil.Error:
                continue  # it ended meanwhile
        return found

    def kill_worker(self) -> str:
        victim = min(self.processes().workers, key=lambda worker: worker.create_time())
        victim.kill()
        return "worker killed"

    def restart_all(self) -> str:
        self._leaving = self.processes().workers
        self.serve.send_signal(signal.SIGHUP)
        return "restart begins"

    def alone(self) -> bool:
        return len(self.processes().workers) < 2

    def busy(self) -> bool:
        return any(worker.is_running() for worker in self._leaving)


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


class ComposeStand(Stand):
    """The gateway of a compose project on this machine's Docker engine, whatever its profile."""

    can_be_harmed = True

    def __init__(self, arguments: Arguments) -> None:
        super().__init__(arguments.host, arguments.api, arguments.api_key)
        self._project = arguments.compose
        self._restarting: subprocess.Popen[bytes] | None = None
        if not self._containers():
            raise Refused(
                f"compose project {self._project!r} has no running container of "
                + " or ".join(SOCKETS_IN)
            )

    def _containers(self, services: Sequence[str] = SOCKETS_IN) -> list[str]:
        project = f"--filter=label=com.docker.compose.project={self._project}"
        service = "--filter=label=com.docker.compose.service="
        return [
            container
            for name in services
            for container in _docker("ps", "--quiet", project, service + name).split()
        ]

    def processes(self) -> Processes:
        return Processes(self._inside(SOCKETS_IN + HANDLERS_IN), self._inside(REDIS_IN))

    def _inside(self, services: Sequence[str]) -> list[psutil.Process]:
        """The containers' processes, as far as this machine sees them."""
        found: list[psutil.Process] = []
        for container in self._containers(services):
            pid = _docker("inspect", "--format={{.State.Pid}}", container).strip()
            if pid.isdecimal() and int(pid) and psutil.pid_exists(int(pid)):
                first = psutil.Process(int(pid))
                found += [first, *first.children(recursive=True)]
        return found

    def kill_worker(self) -> str:
        container = self._containers()[-1]
        _docker("kill", container)
        _docker("start", container)  # the engine takes a kill for a wish, and leaves it
        return "container killed"

    def restart_all(self) -> str:
        command = ["docker", "restart", "--time", "50", *self._containers()]
        self._restarting = subprocess.Popen(  # it takes them one after another
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return "restart begins"

    def alone(self) -> bool:
        return len(self._containers()) < 2

    def busy(self) -> bool:
        return self._restarting is not None and self._restarting.poll() is None


def _docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(f"docker {arguments[0]}: {error}") from None
    return done.stdout


def stand_for(arguments: Arguments, log_file: Path) -> Stand:
    """The gateway that the arguments name, good for their scenario.

    Raises:
        Refused: There is none.
    """
    found = find_stand(arguments, log_file)
    if SCENARIOS[arguments.scenario].needs_stand and not found.can_be_harmed:
        raise Refused(f"{arguments.scenario} needs a `gateway serve` of this machine, or --compose")
    return found


def find_stand(arguments: Arguments, log_file: Path) -> Stand:
    """The gateway that the arguments name, or one of our own.

    Raises:
        Refused: It cannot be, or not for this scenario.
    """
    if arguments.asks_for_own_gateway:
        return OwnStand(arguments, log_file)
    _see_that_somebody_listens(arguments.host)
    if arguments.compose:
        return ComposeStand(arguments)
    # Behind a proxy it is found by where its connection API is.
    served = _listening_here(arguments.api or arguments.host)
    if served is None:
        return Stand(arguments.host, arguments.api, arguments.api_key)
    return LocalStand(arguments.host, arguments.api, arguments.api_key, served)


def _see_that_somebody_listens(host: str) -> None:
    parts = urlsplit(host)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S).close()
    except OSError as error:
        raise Refused(f"nobody listens at {host}: {error}") from None


def _listening_here(host: str) -> psutil.Process | None:
    """The ``gateway serve`` of this machine that listens at this address."""
    parts = urlsplit(host)
    if parts.hostname not in {"localhost", "127.0.0.1"}:
        return None
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "serve" not in command:
            continue
        try:
            parent = process.parent()
            if parent is not None and parent.cmdline() == command:
                continue  # one of its workers
            listening = {
                c.laddr.port for c in process.net_connections("tcp") if c.status == "LISTEN"
            }
        except psutil.Error:
            continue
        if parts.port in listening:
            return process
    return None


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
    from loadtest.metrics import get  # noqa: PLC0415 (a cycle otherwise)

    return get(f"{address}/readyz") is not None


def _until(process: subprocess.Popen[bytes], log_file: Path, check: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not check():
        if process.poll() is not None or time.monotonic() > end:
            tail = log_file.read_text(errors="replace").strip().splitlines()[-1:]
            raise Refused(f"the gateway did not start: {' '.join(tail) or 'it said nothing'}")
        time.sleep(0.05)
