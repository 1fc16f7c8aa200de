"""What a message costs, routed or delivered to many, in things that can be counted: none of it may
grow by a fifth.

``counts.json`` has the figures. Who makes one larger on purpose changes it there, and says why.
Counts are of one process with both workers and the clients (``tests.support.rounds`` and
``fan_out_rounds``): two runs of different length are subtracted, so that start and end fall out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.children import mortal
from tests.support.fan_out_rounds import SUBSCRIBERS
from tests.support.redis_server import RedisServer
from tests.support.rounds import CLIENTS

ROOT: Final = Path(__file__).parents[2]
FIGURES: Final = Path(__file__).with_name("counts.json")
GROWTH: Final = 1.2
PYTHON: Final = (3, 11)  # what the figure for allocations was taken with
# Only the clients' calls: a worker's loop has others for the same.
CLIENTS_CALLS: Final = {"sendto", "recvfrom"}

Count = Callable[[int], int]
Capsys = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Work:
    """What is done in rounds.

    Args:
        each: How many messages, or deliveries, there are in a round.
        rounds: Of the short run, and of the long one.
    """

    module: str
    each: int
    rounds: tuple[int, int] = (10, 60)
    arguments: tuple[str, ...] = ()

    def run(
        self, server: RedisServer, count: int, *before: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", self.module, server.url, str(count), *self.arguments]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "COV_"))}
        done = subprocess.run(
            mortal([*before, *program]), env=clean | environment, cwd=ROOT,
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done

    def one(self, count: Count) -> float:
        """What one of them adds to a count that is taken over a whole run."""
        short, long = self.rounds
        return (count(long) - count(short)) / ((long - short) * self.each)


def fan_out(at_once: int, rounds: tuple[int, int]) -> Work:
    each = at_once * SUBSCRIBERS
    return Work("tests.support.fan_out_rounds", each, rounds, (str(at_once),))


ECHO: Final = Work("tests.support.rounds", CLIENTS)
SINGLE: Final = fan_out(1, (20, 220))
BURSTS: Final = fan_out(200, (5, 25))


def hold(name: str, measured: float, capsys: Capsys) -> None:
    figure = json.loads(FIGURES.read_text())[name]
    if measured < figure / GROWTH:
        with capsys.disabled():
            print(f"\n{FIGURES.name}: lower {name!r} from {figure} to {measured:.2f}")
    assert measured <= figure * GROWTH, f"{name}: {figure} before, {measured:.2f} now"


def test_a_message_takes_no_more_publish_commands_than_before(
    own_redis: RedisServer, capsys: Capsys
) -> None:
    def publishes(count: int) -> int:
        with own_redis.client() as redis:
            redis.config_resetstat()
            ECHO.run(own_redis, count)
            return redis.info("commandstats")["cmdstat_publish"]["calls"]

    hold("PUBLISH commands per 1,000 messages", 1000 * ECHO.one(publishes), capsys)


@pytest.mark.parametrize(
    ("work", "name"),
    [
        pytest.param(ECHO, "system calls per 1,000 messages", id="routed"),
        pytest.param(SINGLE, "system calls per 1,000 deliveries, one at a time", id="single"),
        pytest.param(BURSTS, "system calls per 1,000 deliveries, in bursts", id="bursts"),
    ],
)
def test_a_message_takes_no_more_system_calls_than_before(
    work: Work, name: str, own_redis: RedisServer, tmp_path: Path, capsys: Capsys
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace: apt-get install strace")

    def calls(count: int) -> int:
        table = tmp_path / f"calls-{count}"
        work.run(own_redis, count, strace, "-f", "-c", "-o", str(table))
        lines = [line.split() for line in table.read_text().splitlines()]
        counted = {line[-1]: int(line[3]) for line in lines if len(line) > 4 and line[3].isdigit()}
        return counted.pop("total") - sum(counted.get(name, 0) for name in CLIENTS_CALLS)

    hold(name, 1000 * work.one(calls), capsys)


@pytest.mark.parametrize(
    ("work", "name"),
    [
        pytest.param(ECHO, "allocations per message", id="routed"),
        pytest.param(SINGLE, "allocations per delivery, one at a time", id="single"),
        pytest.param(BURSTS, "allocations per delivery, in bursts", id="bursts"),
    ],
)
def test_a_message_takes_no_more_allocations_than_before(
    work: Work, name: str, own_redis: RedisServer, capsys: Capsys
) -> None:
    """Counted by glibc's ``libmemusage``, with Python's own allocator switched off."""
    if sys.version_info[:2] != PYTHON:
        pytest.skip(f"the figure is that of Python {PYTHON}")
    if shutil.which("memusage") is None:
        pytest.skip("no libmemusage: apt-get install libc-devtools")

    def allocations(count: int) -> int:
        done = work.run(own_redis, count, PYTHONMALLOC="malloc", LD_PRELOAD="libmemusage.so")
        return sum(map(int, re.findall(r"(?:m|c|re)alloc\|\S*\s+(\d+)", done.stderr)))

    hold(name, work.one(allocations), capsys)
