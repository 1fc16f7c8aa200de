"""The stand of every bad day, and the tables that are printed at the end of the run."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.redis_server import RedisServer
from tests.support.stand import Stand, a_stand

TABLE = "table"
PUSHES = 200  # a second, asked of any worker while messages are sent


class Ledger(Protocol):
    """What a test has counted."""

    def table(self, title: str) -> str:
        """One line of figures for people."""
        ...


Report = Callable[[Ledger], None]


@pytest.fixture
async def stand(own_redis: RedisServer, tmp_path: Path) -> AsyncIterator[Stand]:
    async with a_stand(own_redis, tmp_path) as made:
        yield made


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the system allows: for thousands of sockets, and what is started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Print a ledger with the summary of the run."""

    def add(ledger: Ledger) -> None:
        title = request.node.name.removeprefix("test_").replace("_", " ")
        request.node.user_properties.append((TABLE, ledger.table(title)))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # By way of the tests' reports: these come from other processes where tests run side by side.
    reports = [
        report
        for kind in ("passed", "failed")
        for report in terminalreporter.stats.get(kind, ())
        if isinstance(report, pytest.TestReport) and report.when == "call"
    ]
    tables = [what for report in reports for name, what in report.user_properties if name == TABLE]
    if tables:
        terminalreporter.section("bad days")
        for table in tables:
            terminalreporter.write_line(str(table))
