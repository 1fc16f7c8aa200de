"""What the shipped unit forbids, a gateway does not need."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.rawclient import handshake
from tests.support.serve import ROOT, Served

SERVICE = ROOT / "deploy" / "systemd" / "gateway@.service"
CALLED = re.compile(r"^\d+ +(\w+)\(", re.MULTILINE)
WITNESS = "listen"  # allowed, and looked for all the same: something is seen


def calls_of(name: str) -> set[str]:
    """The system calls of a set of systemd's, or the one of this name."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", name],
        capture_output=True, text=True, timeout=10, check=True,
    ).stdout.splitlines()[1:]  # fmt: skip
    inside = (line.strip() for line in listed)
    return {call for each in inside if each and each[0] != "#" for call in calls_of(each)}


def allowed() -> set[str]:
    found: set[str] = set()
    for value in re.findall(r"^SystemCallFilter=(.*)$", SERVICE.read_text(), re.MULTILINE):
        named = {call for name in value.lstrip("~").split() for call in calls_of(name)}
        found = found - named if value.startswith("~") else found | named
    return found


async def test_the_filter_lets_through_what_a_gateway_calls(tmp_path: Path) -> None:
    """From its start to its end, with its broker; red with prlimit64 taken out."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace: apt-get install strace")
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze: apt-get install systemd")
    trace = tmp_path / "trace"
    # Only what is forbidden stops for strace; `?`: or is no call of this machine's kind.
    others = ",".join(f"?{call}" for call in sorted(allowed() - {WITNESS}))
    # Daemonized: so it is the supervisor, and not strace, that is told to stop.
    options = ["--daemonize", "--follow-forks", "--seccomp-bpf", "--quiet=all"]
    follow = [strace, *options, f"--trace=!{others}", "--output", str(trace)]
    with Served(tmp_path, under=follow, environment={"GATEWAY_DRAIN_SECONDS": "0"}) as served:
        assert (await handshake(served.port)).status == 101
        assert served.get("/metrics")[0] == 200
        assert served.stop() == 0

    assert set(CALLED.findall(trace.read_text())) == {WITNESS}
