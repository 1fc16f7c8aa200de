"""A real ``gateway serve`` in processes of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from tests.support.children import mortal
from tests.support.waiting import blocking_eventually

ROOT = Path(__file__).parents[2]
START_S = 20.0
STOP_S = 60.0


class Served:
    """One ``gateway serve`` on a free port. A context manager that leaves no process behind.

    Args:
        folder: For its log and its run file; it sees nothing of other gateways of this user.
        options: Command line after ``serve``.
        module: What to run; another one stands in for another release.
        program: An installed ``gateway`` to run; nothing of this tree can then be imported.
        environment: ``GATEWAY_…`` variables; those of the test run are not passed on.
        ulimit: Options of the shell's ``ulimit``, in force for it and its workers.
        under: A command that runs it, strace for instance.
        passed: Listens already; handed over as a service manager does, and ours to close.
    """

    readiness = "/readyz"  # below a prefix where an application mounts the gateway

    def __init__(
        self,
        folder: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        wait_ready: bool = True,
        module: str = "gateway",
        program: Path | None = None,
        ulimit: str = "",
        under: Sequence[str] = (),
        passed: socket.socket | None = None,
    ) -> None:
        self.folder = folder
        self.log_file = folder / "serve.log"
        self.port = 0
        self._options = ("--port", "0", *options)
        self._cwd = cwd
        self._wait_ready = wait_ready
        self._run = [str(program)] if program else [sys.executable, "-m", module]
        if ulimit:
            self._run = ["sh", "-c", f'ulimit {ulimit} && exec "$@"', "sh", *self._run]
        self._run = [*under, *self._run]
        self._kept = [passed.fileno()] if passed is not None else []
        if passed is not None:
            as_third = f'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@" 3<&{passed.fileno()}'
            self._run = ["bash", "-c", as_third, "bash", *self._run]
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "COV_"))},
            "XDG_RUNTIME_DIR": str(folder),
            "PYTHONPATH": "" if program else str(ROOT),
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/communicate"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's records of one event."""
        records = (json.loads(line) for line in self.log.splitlines() if line.startswith("{"))
        return [record for record in records if record.get("event") == name]

    def worker_pids(self) -> list[int]:
        """The worker processes, oldest first."""
        children = psutil.Process(self.pid).children()
        workers = [
            c for c in children if "gateway.process.embedded_broker" not in " ".join(_command(c))
        ]
        return [c.pid for c in sorted(workers, key=lambda c: c.create_time())]

    def family(self) -> list[psutil.Process]:
        """Everything that it started, and what those started."""
        return psutil.Process(self.pid).children(recursive=True)

    def ready(self) -> bool:
        """Whether every worker takes sockets: the port says so as soon as one does."""
        try:
            if self.get(self.readiness)[0] != 200:
                return False
            wanted = self._workers_wanted
            pids = self.worker_pids() if wanted > 1 else []
            return wanted <= 1 or (len(pids) >= wanted and all(map(_reported, pids)))
        except (OSError, psutil.Error):
            return False

    @property
    def _workers_wanted(self) -> int:
        if "--workers" not in self._options:
            return 1
        return int(self._options[self._options.index("--workers") + 1])

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """One HTTP GET: status and body."""
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The value of one metric of this port; 0 when it has not been counted yet."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            found = re.fullmatch(rf"{name}(\{{(.*)\}})? (\S+)", line)
            if found and all(f'{k}="{v}"' in (found[2] or "") for k, v in labels.items()):
                total += float(found[3])
        return total

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``gateway`` as the same user would."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                mortal([*self._run, "serve", *self._options]),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self.environment, cwd=self._cwd, start_new_session=True,
                pass_fds=self._kept,
            )  # fmt: skip
        blocking_eventually(self._announced, "the address", START_S)
        if self._wait_ready:
            blocking_eventually(self.ready, "readiness", START_S)

    def _announced(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"serve ended with {self.process.returncode}:\n{self.log[-3000:]}")
        found = re.search(r"^Gateway at http://[^:]+:(\d+)", self.log, re.MULTILINE)
        self.port = int(found[1]) if found else 0
        return found is not None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, within_s: float = STOP_S) -> int:
        """Wait for its end, and say how it ended."""
        assert self.process is not None
        return self.process.wait(within_s)

    def stop(self) -> int:
        """Stop it kindly."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self) -> Served:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        """End it at once, with everything it started."""
        if self.process is None:
            return
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for process in family:
            try:
                process.kill()  # a frozen one too
            except psutil.NoSuchProcess:
                continue
        # Not until they are reaped: those of a dead parent are the system's, which takes its time.
        blocking_eventually(lambda: all(map(_is_over, family)), "the end of its processes")


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _is_over(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _reported(worker_pid: int) -> bool:
    """Whether a worker has told its siblings that it is ready."""
    opened = (Path(file.path) for file in psutil.Process(worker_pid).open_files())
    run_folders = {file.parents[1] for file in opened if file.suffix == ".db"}
    return any((folder / f"ready-{worker_pid}").exists() for folder in run_folders)
