"""A fan-out that loses, doubles, reorders or misroutes a publication has no figures."""

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

SECONDS = 1.0


@dataclass(frozen=True)
class BrokenChannels:
    kind: str
    name: str = "broken"
    dialect: str = "centrifuge"
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
        command = [sys.executable, "-m", "tests.support.broken_channels", self.kind]
        with started(command, log) as one:
            yield [f"ws://127.0.0.1:{port_of(one, log)}/connection/websocket"], [one.pid]


@pytest.fixture(autouse=True)
def _shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "QUIET_S", 0.0)
    monkeypatch.setattr(measure, "WARM_UP_S", 0.1)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a server that is broken: from one that works, late answers would count as lost."""
    monkeypatch.setattr(measure, "ANSWERED_WITHIN_S", 0.5)


def measured(kind: str, at_once: int = 20) -> measure.Figures:
    """Of a window in which the machine had time for anybody."""
    load = Load("fanout", connections=4, at_once=at_once)
    for _ in range(5):
        figures = measure.measure(Run(kind, BrokenChannels(kind), load), SECONDS)
        if figures.void.keys() != {"no answer"}:
            break
    return figures


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("at_once", [1, 20])
@pytest.mark.parametrize(
    ("kind", "fault"),
    [("loses", "lost"), ("doubles", "doubled"), ("reorders", "lost"), ("misroutes", "misrouted")],
)
def test_a_fan_out_of_broken_channels_is_void(kind: str, fault: str, at_once: int) -> None:
    figures = measured(kind, at_once)

    assert any(found.startswith(fault) for found in figures.void), figures
    assert not figures.answers


@pytest.mark.parametrize("at_once", [1, 20])
def test_a_fan_out_of_channels_that_work_has_figures(at_once: int) -> None:
    figures = measured("works", at_once)

    assert not figures.void
    assert figures.answers
    assert figures.total_cpu_us > 0
    assert "publications/s" in figures.notes
