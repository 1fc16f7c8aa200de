"""What a routed message costs, in things that can be counted: none of it may grow by a fifth.

``counts.json`` has the figures. Who makes one larger on purpose changes it there, and says why.
Counts are of one process with both workers and the clients (``tests.support.rounds``): two runs of
different length are subtracted, so that start and end fall out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.support.children import mortal
from tests.support.redis_server import RedisServer
from tests.support.rounds import CLIENTS

ROOT: Final = Path(__file__).parents[2]
FIGURES: Final = Path(__file__).with_name("counts.json")
SHORT, LONG = 10, 60  # rounds
GROWTH: Final = 1.2
PYTHON: Final = (3, 11)  # what the figure for allocations was taken with
# Only the clients' calls: a worker's loop has others for the same.
CLIENTS_CALLS: Final = {"sendto", "recvfrom"}

Count = Callable[[int], int]


def rounds(
    server: RedisServer, count: int, *before: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "tests.support.rounds", server.url, str(count)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "COV_"))}
    done = subprocess.run(
        mortal(command), env=clean | environment, cwd=ROOT,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def per_message(count: Count) -> float:
    """What one message adds to a count that is taken over a whole run."""
    return (count(LONG) - count(SHORT)) / ((LONG - SHORT) * CLIENTS)


def hold(name: str, measured: float, capsys: pytest.CaptureFixture[str]) -> None:
    figure = json.loads(FIGURES.read_text())[name]
    if measured < figure / GROWTH:
        with capsys.disabled():
            print(f"\n{FIGURES.name}: lower {name!r} from {figure} to {measured:.1f}")
    assert measured <= figure * GROWTH, f"{name}: {figure} before, {measured:.1f} now"


def test_a_message_takes_no_more_publish_commands_than_before(
    own_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def publishes(count: int) -> int:
        with own_redis.client() as redis:
            redis.config_resetstat()
            rounds(own_redis, count)
            return redis.info("commandstats")["cmdstat_publish"]["calls"]

    hold("PUBLISH commands per 1,000 messages", 1000 * per_message(publishes), capsys)


def test_a_message_takes_no_more_system_calls_than_before(
    own_redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace: apt-get install strace")

    def calls(count: int) -> int:
        table = tmp_path / f"calls-{count}"
        rounds(own_redis, count, strace, "-f", "-c", "-o", str(table))
        lines = [line.split() for line in table.read_text().splitlines()]
        counted = {line[-1]: int(line[3]) for line in lines if len(line) > 4 and line[3].isdigit()}
        return counted.pop("total") - sum(counted.get(name, 0) for name in CLIENTS_CALLS)

    hold("system calls per 1,000 messages", 1000 * per_message(calls), capsys)


def test_a_message_takes_no_more_allocations_than_before(
    own_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted by glibc's ``libmemusage``, with Python's own allocator switched off."""
    if sys.version_info[:2] != PYTHON:
        pytest.skip(f"the figure is that of Python {PYTHON}")
    if shutil.which("memusage") is None:
        pytest.skip("no libmemusage: apt-get install libc-devtools")

    def allocations(count: int) -> int:
        done = rounds(own_redis, count, PYTHONMALLOC="malloc", LD_PRELOAD="libmemusage.so")
        return sum(map(int, re.findall(r"(?:m|c|re)alloc\|\S*\s+(\d+)", done.stderr)))

    hold("allocations per message", per_message(allocations), capsys)
