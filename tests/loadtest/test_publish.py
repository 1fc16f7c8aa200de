"""From a folder of results to the reports that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.arguments import SCENARIOS, Refused
from loadtest.publish import DOCS, publish, table

PAGE = "before\n<!-- from {mark}: python -m loadtest.publish -->\n{text}\n<!-- end -->\nafter\n"
SUMMARY = """\
clean

# steady, 2026-01-31 10:00 UTC

| | |
|---|---|
| asked for | 5 users, 20 messages/s, 3 s |
| machine | 2 CPUs |
| latency | p50 1.0 ms (57) |
| generator | 2 process(es), busiest 10 % CPU |
"""


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Pages with a place for what is published."""
    for name, mark in {
        "reports/README.md": "the reports",
        "guides/capacity.md": "make capacity",
    }.items():
        page = tmp_path / "docs" / name
        page.parent.mkdir(parents=True)
        page.write_text(
            f"before\n<!-- from {mark}: python -m loadtest.publish -->\nold\n<!-- end -->\nafter\n"
        )
    return tmp_path / "docs"


@pytest.fixture
def result(tmp_path: Path) -> Path:
    folder = tmp_path / "2026-01-31-steady"
    folder.mkdir()
    (folder / "summary.md").write_text(SUMMARY)
    (folder / "run.json").write_text("{}")
    (folder / "report.html").write_text("<!doctype html>")
    return folder


def test_summary_and_figures_are_kept_under_the_scenarios_name(docs: Path, result: Path) -> None:
    publish([result], docs)

    assert (docs / "reports/steady/summary.md").read_text() == SUMMARY
    assert (docs / "reports/steady/run.json").read_text() == "{}"


def test_the_page_is_not_kept(docs: Path, result: Path) -> None:
    publish([result], docs)

    assert not (docs / "reports/steady/report.html").exists()


def test_the_table_tells_date_machine_command_and_outcome(docs: Path, result: Path) -> None:
    publish([result], docs)

    assert (docs / "reports/README.md").read_text().splitlines()[4] == (
        "| [steady](steady/summary.md) | 2026-01-31, 2 CPUs | "
        "`LOCUST_PROCESSES=2 make loadtest SCENARIO=steady USERS=5 RATE=20 SECONDS=3` | "
        "**clean**; latency: p50 1.0 ms (57) |"
    )


def test_what_stands_around_the_table_stays(docs: Path, result: Path) -> None:
    publish([result], docs)
    text = (docs / "reports/README.md").read_text()

    assert (text.splitlines()[0], text.splitlines()[-1]) == ("before", "after")
    assert "old" not in text


def test_a_table_of_capacity_goes_to_the_guide(docs: Path, tmp_path: Path) -> None:
    (tmp_path / "capacity.md").write_text("| new |\n")

    publish([tmp_path], docs)

    assert (docs / "guides/capacity.md").read_text() == PAGE.format(
        mark="make capacity", text="| new |"
    )


def test_what_is_no_result_is_refused(docs: Path, result: Path) -> None:
    (result / "summary.md").write_text("# something else\n")

    with pytest.raises(Refused, match="2026-01-31-steady: not the summary of a run"):
        publish([result], docs)


def test_a_run_too_large_to_be_kept_is_refused(docs: Path, result: Path) -> None:
    (result / "run.json").write_bytes(b"x" * 150_001)

    with pytest.raises(Refused, match="150001 bytes"):
        publish([result], docs)


def test_the_table_of_this_tree_is_that_of_its_reports() -> None:
    assert table(DOCS / "reports") in (DOCS / "reports/README.md").read_text()


def test_every_scenario_has_a_report() -> None:
    """The guide says so."""
    reports = DOCS / "reports"

    assert [name for name in SCENARIOS if not (reports / name / "summary.md").is_file()] == []
