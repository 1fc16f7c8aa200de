"""The stand of every bad day, and the tables that are printed at the end of the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.redis_server import RedisServer
from tests.support.stand import Stand, a_stand

PUSHES = 200  # a second, asked of any worker while messages are sent
_tables: list[str] = []


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
def report(request: pytest.FixtureRequest) -> Report:
    """Print a ledger with the summary of the run."""

    def add(ledger: Ledger) -> None:
        title = request.node.name.removeprefix("test_").replace("_", " ")
        _tables.append(ledger.table(title))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _tables:
        terminalreporter.section("bad days")
        for table in _tables:
            terminalreporter.write_line(table)
