"""Readiness of a port: any worker that is asked knows of all."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from gateway.worker.health import FRESH_S, PortHealth, ready_workers


def another_worker(folder: Path, *, age_s: float) -> Path:
    """What a worker of another process has left there, that long ago."""
    file = folder / "ready-1"
    file.touch()
    then = time.monotonic() - age_s
    os.utime(file, (then, then))
    return file


def test_a_worker_that_is_alone_knows_of_itself() -> None:
    health = PortHealth(None)
    assert not health.any_ready()

    health.report(ready=True)
    assert health.any_ready()

    health.report(ready=False)
    assert not health.any_ready()


def test_a_worker_knows_of_itself_before_it_looks_at_the_folder(tmp_path: Path) -> None:
    health = PortHealth(tmp_path / "gone")

    health.report(ready=True)

    assert health.any_ready()


def test_another_worker_knows_of_one_that_is_ready(tmp_path: Path) -> None:
    PortHealth(tmp_path).report(ready=True)

    assert PortHealth(tmp_path).any_ready()


def test_another_worker_knows_of_one_that_is_not_ready_any_more(tmp_path: Path) -> None:
    health = PortHealth(tmp_path)
    health.report(ready=True)
    health.report(ready=False)

    assert not PortHealth(tmp_path).any_ready()


def test_that_a_worker_was_never_ready_is_no_news(tmp_path: Path) -> None:
    PortHealth(tmp_path).report(ready=False)

    assert not list(tmp_path.iterdir())


def test_a_worker_that_reported_lately_is_believed(tmp_path: Path) -> None:
    another_worker(tmp_path, age_s=FRESH_S - 2)

    assert PortHealth(tmp_path).any_ready()


def test_a_worker_that_has_fallen_silent_is_not_believed(tmp_path: Path) -> None:
    another_worker(tmp_path, age_s=FRESH_S + 2)

    assert not PortHealth(tmp_path).any_ready()


def test_one_ready_worker_is_enough(tmp_path: Path) -> None:
    another_worker(tmp_path, age_s=FRESH_S + 2)
    PortHealth(tmp_path).report(ready=True)

    assert PortHealth(tmp_path).any_ready()


def test_who_is_ready_is_told_by_the_clock_that_dates_the_files(tmp_path: Path) -> None:
    """Red when it is compared with another clock: a service manager is never told READY=1."""
    another_worker(tmp_path, age_s=FRESH_S + 2)
    PortHealth(tmp_path).report(ready=True)

    assert ready_workers(tmp_path) == {os.getpid()}


def test_a_file_that_vanishes_while_it_is_looked_at_is_no_worker(tmp_path: Path) -> None:
    (tmp_path / "ready-1").symlink_to(tmp_path / "gone")

    assert not PortHealth(tmp_path).any_ready()


@pytest.mark.parametrize("ready", [True, False])
def test_a_folder_that_was_cleaned_up_costs_no_worker(tmp_path: Path, *, ready: bool) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    health = PortHealth(folder)
    shutil.rmtree(folder)

    health.report(ready=ready)

    assert health.any_ready() == ready
