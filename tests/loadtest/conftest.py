"""Every run that tests look at, small and several at a time: they wait more than they work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.support.loadtest import Outcome, run
from tests.support.serve import Served

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
}
PLAIN: Final = {"soak": {"GATEWAY_TRACE": "off"}}
BROKEN: Final = {  # applications of tests/loadtest/broken.py
    "dropping": "steady --users 20 --rate 150 --seconds 5",
    "misrouting": "steady --users 20 --rate 150 --seconds 5",
    "shutting": "connect_storm --users 20 --rate 40 --seconds 9",
}


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that look at a run come last: the runs take their time while the others are tried."""
    items.sort(key=_looks_at_a_run)


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
            **{name: pool.submit(_scenario, folder / name, name) for name in SMALL},
        }
        yield lambda name: running[name].result()
        pool.shutdown(cancel_futures=True)
