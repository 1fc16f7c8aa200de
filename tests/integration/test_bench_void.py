"""A benchmark run that lost, doubled or misrouted a message has no figures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import measure
from benchmarks.peers.processes import port_of, started
from benchmarks.runs import Load, Run

SECONDS = 0.3


@dataclass(frozen=True)
class BrokenPeer:
    kind: str
    name: str = "broken"
    dialect: str = "plain"
    expected_us: float | None = None
    processes: int = 1

    def install(self) -> None: ...

    def versions(self) -> dict[str, str]:
        return {}

    @contextmanager
    def start(
        self, directory: Path, redis_url: str, workers: int
    ) -> Iterator[tuple[list[str], list[int]]]:
        del redis_url, workers
        log = directory / "broken.log"
        with started([sys.executable, "-m", "tests.support.broken_echo", self.kind], log) as one:
            yield [f"ws://127.0.0.1:{port_of(one, log)}/"], [one.pid]


@pytest.fixture(autouse=True)
def _shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "QUIET_S", 0.0)
    monkeypatch.setattr(measure, "WARM_UP_S", 0.1)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a server that is broken: from one that works, late answers would count as lost."""
    monkeypatch.setattr(measure, "ANSWERED_WITHIN_S", 0.5)


def measured(kind: str, per_s: float = 0.0) -> measure.Figures:
    """Of a window in which the machine had time for anybody."""
    load = Load(connections=4, per_s=per_s)
    for _ in range(5):
        figures = measure.measure(Run(kind, BrokenPeer(kind), load), SECONDS)
        if figures.void.keys() != {"no answer"}:
            break
    return figures


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("drops", "lost"),
        ("doubles", "doubled"),
        ("misroutes", "misrouted"),
        ("alters", "altered"),
        ("hangs-up", "closed"),
    ],
)
def test_a_run_on_a_broken_server_is_void(kind: str, fault: str) -> None:
    figures = measured(kind)

    assert fault in figures.void
    assert not figures.answers


@pytest.mark.usefixtures("_impatient")
def test_a_broken_server_is_seen_on_a_schedule_too() -> None:
    assert "lost" in measured("drops", per_s=1000.0).void


def test_a_run_on_a_server_that_works_has_figures() -> None:
    figures = measured("works")

    assert not figures.void
    assert figures.answers
    assert figures.total_cpu_us > 0
