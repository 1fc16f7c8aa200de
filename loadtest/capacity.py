"""``make capacity``: what this machine holds, measured with ``ramp`` and ``soak``, as a table."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil

from loadtest.arguments import Refused, check
from loadtest.limits import RESERVED_FILES, WORKER_SOCKETS, raise_files
from loadtest.stands.own import ROOT, OwnStand

USERS: Final = 500  # of the ramp: enough that none of them is the bottleneck
FIRST_RATE: Final = 1000
SILENCE_S: Final = 30  # between two lines of one of many connections
P99_MS: Final = 50  # the usual bound of a ramp
OVERLOADED: Final = "generator overloaded"  # the end of the machine, which a ramp looks for
SHIPPED: Final = ROOT / "deploy" / "nginx"


@dataclass(frozen=True, slots=True)
class Setup:
    name: str
    workers: int
    nginx: bool = False


SETUPS: Final = (
    Setup("one worker", 1),
    Setup("two workers", 2),
    Setup("two workers, nginx in front", 2, nginx=True),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What one setup held."""

    name: str
    ramp: dict[str, Any]
    soak: dict[str, Any]
    connections: int
    nginx_us: float | None

    def cells(self) -> list[str]:
        results, held = self.ramp["results"], self.soak["results"]
        knee = results.get("knee_per_s")
        broke = self.ramp["figures"].get("broke", "")
        broken = [why for why in self.ramp["reasons"] if OVERLOADED not in why]
        if not knee:
            return [self.name, "not even the first rate", *[""] * (len(HEAD) - 2)]
        p99_ms = held.get("p99_ms", 0.0)
        why = [*self.soak["reasons"], *([f"p99 over {P99_MS} ms"] if p99_ms > P99_MS else [])]
        held_or_not = f"not held ({'; '.join(why)})" if why else "held"
        return [
            self.name,
            f"{knee:,.0f}",
            "; ".join(
                [broke.partition(": ")[2].rpartition(": ")[2], *broken],
            ),
            f"{results['knee_gateway_cpu'] / 100 / knee * 1e6:.0f} us"
            + (f", nginx {self.nginx_us:.0f} us" if self.nginx_us is not None else ""),
            (
                f"workers {results['knee_gateway_cpu']:.0f} % of a core, "
                f"Redis {results['knee_redis_cpu']:.0f} %, "
                f"the whole machine {results['knee_machine_cpu']:.0f} % of all cores"
            ),
            f"{self.connections:,} at p99 {p99_ms:.0f} ms: {held_or_not}",
            f"{held.get('bytes_a_connection', 0) / 1e3:.0f} kB",
        ]


HEAD: Final = (
    "setup", f"messages/s held at p99 <= {P99_MS} ms", "what came next", "CPU a message",
    "how busy it was", f"connections, with a line each {SILENCE_S} s", "memory a connection",
)  # fmt: skip


def _locust(folder: Path, scenario: str, host: str, api: str, **options: object) -> dict[str, Any]:
    """One run. Returns what it says of itself to programs."""
    command = [
        str(Path(sys.executable).with_name("locust")), "-f", "loadtest/locustfile.py",
        "--headless", "--only-summary", "--loglevel", "WARNING", "--results", str(folder),
        "--scenario", scenario, "--host", host, "--api", api,
        *(f"--{name}={value}" for name, value in options.items()),
    ]  # fmt: skip
    before = set(folder.glob("*/run.json"))
    subprocess.run(command, cwd=ROOT, check=False)
    written = set(folder.glob("*/run.json")) - before
    if len(written) != 1:
        raise Refused(f"{scenario} could not be run")  # it has said why
    facts: dict[str, Any] = json.loads(written.pop().read_text())
    return facts


def _change(file: Path, shipped: str, ours: str) -> None:
    text = file.read_text()
    if shipped not in text:
        raise Refused(f"{file.name} no longer has {shipped!r}")
    file.write_text(text.replace(shipped, ours))


@contextmanager
def _nginx(port: int) -> Iterator[tuple[str, psutil.Process]]:
    """The shipped configuration in front of one port. Yields the address, and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        front = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "nginx"
        shutil.copytree(SHIPPED, folder)
        # Its own processes have another user, who must come in.
        Path(made).chmod(0o755)
        conf, parts = folder / "nginx-1.22.conf", folder / "parts"
        _change(conf, "listen 80;", f"listen 127.0.0.1:{front};")
        temporary = "".join(
            f"    {name}_temp_path {folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        _change(conf, "http {\n", "http {\n" + temporary)
        for listed in (8001, 8002):
            upstream = f"server 127.0.0.1:{listed} "
            _change(parts / "upstream-by-list.conf", upstream, f"server 127.0.0.1:{port} ")
        for name in ("http.conf", "process.conf"):
            _change(parts / name, "/var/log/nginx/", f"{folder}/")
        process = psutil.Popen(
            ["nginx", "-c", str(conf), "-g", f"daemon off; pid {folder}/nginx.pid;"],
            stdin=subprocess.DEVNULL,
        )
        try:
            _wait_for(front)
            yield f"http://127.0.0.1:{front}", process
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Refused("nginx did not start")


def _cpu_s(process: psutil.Process) -> float:
    together = [process, *process.children()]
    return float(sum(t.user + t.system for t in (p.cpu_times() for p in together)))


def measure(setup: Setup, folder: Path, processes: int, connections: int) -> Row:
    """Start the setup, and see what it holds."""
    asked = check({"workers": setup.workers})
    with ExitStack() as stack:
        gateway = OwnStand(asked, folder / "gateway.log")
        stack.callback(gateway.close)
        host, nginx = gateway.host, None
        if setup.nginx:
            host, nginx = stack.enter_context(_nginx(int(gateway.host.rpartition(":")[2])))
        # First, while memory is that of a young process.
        soak = _locust(
            folder, "soak", host, gateway.host, processes=processes, users=connections,
            rate=max(1, connections / SILENCE_S), seconds=SILENCE_S + 5,
        )  # fmt: skip
        before_s = _cpu_s(nginx) if nginx else 0.0
        ramp = _locust(
            folder, "ramp", host, gateway.host, processes=processes, users=USERS,
            rate=FIRST_RATE, seconds=150,
        )  # fmt: skip
        nginx_us = None
        if nginx:
            nginx_us = (_cpu_s(nginx) - before_s) / max(1, ramp["results"]["answered"]) * 1e6
    return Row(setup.name, ramp, soak, connections, nginx_us)


def table(rows: list[Row]) -> str:
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _count(name: str, usual: int) -> int:
    value = os.environ.get(name) or str(usual)
    if not value.isdecimal() or int(value) < 1:
        raise Refused(f"{name}={value} is not a number from 1 up")
    return int(value)


def main() -> int:
    """Measure everything, print the table and keep it."""
    processes = _count("LOCUST_PROCESSES", os.cpu_count() or 1)
    room = min(WORKER_SOCKETS, raise_files() - RESERVED_FILES) * 2 // 3
    connections = _count("CONNECTIONS", room)
    day = datetime.now().strftime("%Y-%m-%d")  # noqa: DTZ005 (the day where the test is run)
    folder = ROOT / "loadtest" / "results" / f"{day}-capacity"
    rows = []
    load = os.getloadavg()[1]
    for setup in SETUPS:
        if setup.nginx and shutil.which("nginx") is None:
            print("left out: nginx is not on this machine", file=sys.stderr)
            continue
        print(f"== {setup.name}", file=sys.stderr)
        rows.append(measure(setup, folder, processes, connections))
    text = (
        f"{day}, {os.cpu_count()} CPUs for everything, {processes} generator processes among it; "
        f"load average {load:.1f} before the start.\n\n" + table(rows)
    )
    (folder / "capacity.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refused as refused:
        print(f"capacity: {refused}", file=sys.stderr)
        sys.exit(2)
