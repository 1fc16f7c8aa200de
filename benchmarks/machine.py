"""Where and what was measured: the machine, the commit, the versions."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

import psutil

from benchmarks.peers.installing import Missing, run
from tests.support.redis_server import redis_binary


def machine() -> dict[str, str | int]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "cores we may use": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "kernel": f"{platform.system()} {platform.release()}",
        "load at the start": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of what all peers share. Each peer tells its own."""
    return {
        "python": " ".join(sys.version.split()),
        "redis": _asked([redis_binary(), "--version"], r"v=(\S+)"),
        "nginx": _asked(["sh", "-c", "PATH=$PATH:/usr/sbin nginx -v 2>&1"], r"nginx/(\S+)"),
    }


def commit() -> str:
    """The commit, and whether anything of ours has been changed since."""
    try:
        head = run(["git", "rev-parse", "HEAD"]).strip()
        changed = run(["git", "status", "--porcelain", "--untracked-files=no"]).strip()
    except Missing:
        return "unknown"
    return head + (", with changes that are not committed" if changed else "")


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _asked(command: list[str], pattern: str) -> str:
    try:
        found = re.search(pattern, run(command))
    except Missing:
        return "not here"
    return found[1] if found else "unknown"
