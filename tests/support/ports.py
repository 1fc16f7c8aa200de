"""Free ports that stay free: the kernel gives them to nobody who asks for any."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Final

FIRST: Final = 11_000  # browsers refuse some below
RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
USUAL: Final = 32_768


def _given_from() -> int:
    """The first port of those that the kernel gives out, to connections as well."""
    return int(RANGE.read_text().split()[0]) if RANGE.exists() else USUAL


def free_port() -> int:
    """A port that was free a moment ago.

    Below those that sockets get which ask for none: a server that is away for a moment finds its
    port as it left it, and where nobody listens nobody comes to listen.
    """
    below = _given_from()
    while True:
        # Of the system's random numbers: whoever seeds Python's would give all the same ports.
        wanted = FIRST + secrets.randbelow(below - FIRST) if below > FIRST else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
