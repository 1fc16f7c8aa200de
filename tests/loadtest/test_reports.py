"""A page that is not kept can be made again, of what is kept."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.arguments import Refused
from loadtest.publish import DOCS
from loadtest.report.kept import read, summary_of, written
from tests.support.loadtest import ROOT, RUN_S, Outcome, locust

REPORTS = sorted((DOCS / "reports").glob("*/run.json"))


def made(folder: Path) -> subprocess.CompletedProcess[str]:
    """As ``make loadtest-report`` does, once all is installed."""
    command = [str(Path(locust()).with_name("python")), "-m", "loadtest.report", str(folder)]
    return subprocess.run(
        command, cwd=ROOT, timeout=RUN_S, check=False, capture_output=True, text=True
    )


def name_of(run: Path) -> str:
    return run.parent.name


def test_every_summary_has_what_its_page_is_made_of() -> None:
    summaries = {summary.parent for summary in (DOCS / "reports").glob("*/summary.md")}

    assert {run.parent for run in REPORTS} == summaries


@pytest.mark.parametrize("run", REPORTS, ids=name_of)
def test_the_summary_is_that_of_the_figures_beside_it(run: Path) -> None:
    assert summary_of(read(run.read_text())) == (run.parent / "summary.md").read_text()


@pytest.mark.parametrize("run", REPORTS, ids=name_of)
def test_what_is_kept_is_read_and_written_as_it_is(run: Path) -> None:
    assert written(read(run.read_text())) == run.read_text()


def test_what_is_something_else_is_refused() -> None:
    with pytest.raises(Refused, match="not what is kept of a run"):
        read('{"plots": [], "events": []}')


def test_the_page_of_a_kept_report_shows_its_plots(tmp_path: Path) -> None:
    kept = read((DOCS / "reports/kill_worker/run.json").read_text())
    shutil.copy(DOCS / "reports/kill_worker/run.json", tmp_path)

    done = made(tmp_path)

    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/report.html\n"), done.stderr
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == len(kept.plots) == 9
    assert page.count("worker killed") >= 2 * 7  # on each plot over time


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    done = made(tmp_path)

    assert done.returncode == 2
    assert done.stderr == f"report: {tmp_path}: No such file or directory: run.json\n"


def test_the_page_of_a_run_can_be_made_again_as_it_was(
    outcome_of: Callable[[str], Outcome], tmp_path: Path
) -> None:
    outcome = outcome_of("kill_worker")
    shutil.copy(outcome.folder / "run.json", tmp_path)

    done = made(tmp_path)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").read_text() == outcome.page.read_text()
