"""Every run that tests look at, small and several at a time: they wait more than they work."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.support.children import mortal
from tests.support.loadtest import RUN_S, Outcome, run
from tests.support.serve import ROOT, Served

AT_ONCE: Final = 6
# A gateway whose patience is short, so that a short run sees it end.
IMPATIENT: Final = {"GATEWAY_STALL_SECONDS": "2", "GATEWAY_DRAIN_SECONDS": "3"}

SMALL: Final[Mapping[str, str]] = {
    "slow_readers": "--users 30 --rate 60 --seconds 12",
    "rolling_restart": "--users 40 --rate 80 --seconds 12",
    "kill_worker": "--users 40 --rate 80 --seconds 10",
    # Where several run at once p99 says nothing.
    "ramp": "--users 20 --rate 50 --seconds 13 --p99-ms 3000",
    "connect_storm": "--users 60 --rate 60 --seconds 9",
    "push": "--users 30 --rate 60 --seconds 5",
    "soak": "--users 60 --rate 60 --seconds 5 --processes 2",
    "steady": "--users 30 --rate 100 --seconds 5",
    "fanout": "--users 30 --rate 60 --seconds 5",
    "recovery": "--users 40 --rate 40 --seconds 12",
    "reshard": "--users 30 --rate 60 --seconds 5",
    "reshard_channels": "--users 30 --rate 40 --seconds 5",
}
PLAIN: Final = {"soak": {"GATEWAY_TRACE": "off"}}
BROKEN: Final = {  # applications of tests/loadtest/broken.py
    "dropping": "steady --users 20 --rate 150 --seconds 5",
    "misrouting": "steady --users 20 --rate 150 --seconds 5",
    "shutting": "connect_storm --users 20 --rate 40 --seconds 9",
}
FORGETFUL: Final = "recovery of a short history"
CHANNELS: Final = "--users 20 --rate 80 --seconds 6 --history 300"
BROKEN_CHANNELS: Final = (  # kinds of tests.support.broken_channels.py
    "works", "loses", "doubles", "reorders", "misroutes", "keeps nothing", "forgets", "invents",
)  # fmt: skip

# Whoever comes first may ask for the last of them, and waits for all that are before it.
RUNS: Final = len(BROKEN) + len(BROKEN_CHANNELS) + 1 + len(SMALL)
WAITED_FOR_S: Final = (math.ceil(RUNS / AT_ONCE) + 1) * RUN_S


def _scenario(folder: Path, name: str) -> Outcome:
    """On a gateway that the load test starts."""
    return run(folder, name, *SMALL[name].split(), extra={**IMPATIENT, **PLAIN.get(name, {})})


def _broken(folder: Path, application: str) -> Outcome:
    """On two workers that are there already."""
    served = Served(
        folder, f"tests.loadtest.broken:{application}", "--workers", "2",
        environment={"GATEWAY_TRACE": "on"},
    )  # fmt: skip
    with served:
        scenario, *options = BROKEN[application].split()
        return run(folder, scenario, *options, "--host", served.url)


def _forgetful(folder: Path, _name: str) -> Outcome:
    """What is missed while a worker is dead is more than its channels keep."""
    options = [*SMALL["recovery"].split(), "--rate", "160", "--history", "1"]
    return run(folder, "recovery", *options, extra=IMPATIENT)


def _broken_channels(folder: Path, kind: str) -> Outcome:
    command = mortal([sys.executable, "-m", "tests.support.broken_channels", kind])
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            host = f"http://127.0.0.1:{int(server.stdout.readline())}"
            return run(folder, "fanout", *CHANNELS.split(), "--host", host)
        finally:
            server.kill()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that look at a run come last: the runs take their time while the others are tried."""
    items.sort(key=_looks_at_a_run)
    for item in filter(_looks_at_a_run, items):
        item.add_marker(pytest.mark.timeout(WAITED_FOR_S))


def _looks_at_a_run(item: pytest.Item) -> bool:
    return "outcome_of" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session", autouse=True)
def _runs_begin_first(request: pytest.FixtureRequest) -> None:
    if any(map(_looks_at_a_run, request.session.items)):
        request.getfixturevalue("outcome_of")


@pytest.fixture(scope="session")
def outcome_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Outcome]]:
    """How a run ended."""
    folder = tmp_path_factory.mktemp("runs")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running: dict[str, Future[Outcome]] = {
            **{name: pool.submit(_broken, folder / name, name) for name in BROKEN},
            **{k: pool.submit(_broken_channels, folder / k, k) for k in BROKEN_CHANNELS},
            FORGETFUL: pool.submit(_forgetful, folder / "forgetful", FORGETFUL),
            **{name: pool.submit(_scenario, folder / name, name) for name in SMALL},
        }
        yield lambda name: running[name].result()
        pool.shutdown(cancel_futures=True)
