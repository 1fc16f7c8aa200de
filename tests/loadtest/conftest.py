"""Every scenario, run once and small, several at a time: they wait more than they work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.support.loadtest import Outcome, run

AT_ONCE = 4
# A gateway whose patience is short, so that a short run sees it end.
IMPATIENT = {"GATEWAY_STALL_SECONDS": "2", "GATEWAY_DRAIN_SECONDS": "3"}

SMALL = {
    "slow_readers": ("--users", "30", "--rate", "60", "--seconds", "12"),
    "rolling_restart": ("--users", "40", "--rate", "80", "--seconds", "12"),
    "kill_worker": ("--users", "40", "--rate", "80", "--seconds", "10"),
    "ramp": ("--users", "20", "--rate", "50", "--seconds", "13", "--p99-ms", "3000"),
    "connect_storm": ("--users", "60", "--rate", "60", "--seconds", "9"),
    "push": ("--users", "30", "--rate", "60", "--seconds", "5"),
    "soak": ("--users", "60", "--rate", "60", "--seconds", "5", "--processes", "2"),
    "steady": ("--users", "30", "--rate", "100", "--seconds", "5"),
}


@pytest.fixture(scope="session")
def outcome_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Outcome]]:
    """How the small run of a scenario ended. The first to ask starts all of them."""
    folder = tmp_path_factory.mktemp("scenarios")
    running: dict[str, Future[Outcome]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def outcome(scenario: str) -> Outcome:
            if not running:
                for name, options in SMALL.items():
                    running[name] = pool.submit(run, folder / name, name, *options, extra=IMPATIENT)
            return running[scenario].result()

        yield outcome
        pool.shutdown(cancel_futures=True)
