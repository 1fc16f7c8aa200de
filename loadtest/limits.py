"""What this machine allows: open files and ports, looked at before anything starts."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from loadtest.arguments import Arguments, Refused

RESERVED_FILES: Final = 200  # of locust, libraries, HTTP
LOOPBACK_SOURCES: Final = 250  # 127.0.0.1 to 127.0.0.250: see users/socket.py
WORKER_SOCKETS: Final = 15_000  # GATEWAY_MAX_CONNECTIONS
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def raise_files() -> int:
    """Take all open files that this process may have. Returns how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 20
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def ports() -> int:
    """Ports that one source address has for one destination."""
    if not _PORTS.exists():
        return 16_383  # 49152-65535, the registered range for it
    low, high = _PORTS.read_text().split()
    return int(high) - int(low) + 1


def check_room(arguments: Arguments, *, files: int, ports_per_source: int) -> None:
    """See that so many users can be.

    Raises:
        Refused: They cannot; says how many can.
    """
    bounds = {
        f"{files} open files in {arguments.processes} process(es) (LOCUST_PROCESSES, ulimit -n)": (
            arguments.processes * (files - RESERVED_FILES)
        ),
        f"{ports_per_source} ports for one destination": (
            ports_per_source * (LOOPBACK_SOURCES if _is_here(arguments) else 1)
        ),
    }
    if arguments.asks_for_own_gateway:
        a_worker = min(files - RESERVED_FILES, WORKER_SOCKETS)
        bounds[f"{a_worker} sockets a worker, {arguments.workers} workers (--workers)"] = (
            a_worker * arguments.workers
        )
    reason, fits = min(bounds.items(), key=lambda bound: bound[1])
    if arguments.users > fits:
        raise Refused(f"{arguments.users} users do not fit: {fits} do, because of {reason}")


def _is_here(arguments: Arguments) -> bool:
    host = urlsplit(arguments.host).hostname or "localhost"
    return host == "localhost" or host.startswith("127.")
