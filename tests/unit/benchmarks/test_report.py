"""What a report makes of the raw numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import chosen, void_runs
from benchmarks.budgets import all_shown
from benchmarks.cases import all_cases
from benchmarks.measure import Figures, quantile, summed
from benchmarks.report import budgets_section, case_section, expected_section, page
from tests.support.pages import DOCS


def run(label: str, *cpu_us: float, void: bool = False) -> dict[str, Any]:
    rounds = [
        {
            "void": {"lost": 1} if void else {},
            "total_cpu_us": us,
            "per_s": 1e6 / us,
            "p50_ms": 1.0,
            "p99_ms": 2.0,
            "idle_bytes": 0,
            "notes": "",
        }
        for us in cpu_us
    ]
    return {"label": label, "expected_us": 40.0, "rounds": rounds}


def raw(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"cases": [{"name": "routed-200", "title": "Routed", "runs": list(runs)}]}


def met(raw_: dict[str, Any], key: str) -> bool | None:
    return next(shown.met for shown in all_shown(raw_) if shown.key == key)


@pytest.mark.parametrize(("ours", "expected"), [(30.0, True), (50.0, False)])
def test_a_budget_is_met_or_not(ours: float, expected: bool) -> None:
    assert met(raw(run("gateway", ours), run("nchan", 40.0)), "nchan-200") is expected


def test_a_ratio_is_the_median_of_those_within_each_round() -> None:
    ours, theirs = run("gateway", 30.0, 90.0, 45.0), run("nchan", 40.0, 80.0, 50.0)

    shown = next(s for s in all_shown(raw(ours, theirs)) if s.key == "nchan-200")

    assert shown.figure == "0.9 x"


def test_a_budget_of_a_void_run_is_not_measured() -> None:
    assert met(raw(run("gateway", 30.0), run("nchan", 40.0, void=True)), "nchan-200") is None


def test_a_void_run_is_named_and_has_no_figure() -> None:
    found = raw(run("gateway", 30.0), run("nchan", 12345.0, void=True))

    assert void_runs(found) == ["routed-200 nchan"]
    assert "**void**" in case_section(found["cases"][0])
    assert "12345" not in case_section(found["cases"][0])


def test_the_reason_stands_beside_the_budget() -> None:
    found = raw(run("gateway", 50.0), run("nchan", 40.0))

    row = next(
        line
        for line in budgets_section(found, {"nchan-200": "it is slow"}).splitlines()
        if "it is slow" in line
    )

    assert "**no**" in row


@pytest.mark.parametrize(("found_us", "word"), [(31.0, "yes"), (60.0, "**no**")])
def test_a_peer_is_compared_with_what_was_expected(found_us: float, word: str) -> None:
    assert f"| {word} |" in expected_section(raw(run("nchan", found_us)), {})


def test_all_parts_of_a_run_are_summed() -> None:
    results: list[dict[str, Any]] = [
        {"took_us": {"1000": 98}, "faults": {}},
        {"took_us": {"5000": 2}, "faults": {}, "notes": "hello"},
    ]

    figures = summed(results, {"servers": 0.002, "redis": 0.001}, 2.0)

    assert figures == Figures(
        answers=100,
        per_s=50.0,
        cpu_us={"servers": 20.0, "redis": 10.0},
        total_cpu_us=30.0,
        p50_ms=1.0,
        p99_ms=5.0,
        notes="hello",
    )


def test_one_fault_of_one_client_makes_it_all_void() -> None:
    results = [{"took_us": {"1000": 98}, "faults": {}}, {"took_us": {}, "faults": {"lost": 1}}]

    figures = summed(results, {"servers": 0.002}, 2.0)

    assert figures == Figures(void={"lost": 1})


def test_silence_is_void() -> None:
    assert summed([{"took_us": {}, "faults": {}}], {"servers": 0.0}, 2.0).void


def test_a_quantile_is_what_that_part_reaches() -> None:
    assert quantile(Counter({10: 50, 20: 49, 30: 1}), 0.99) == 20


def test_cases_and_peers_are_chosen_by_name() -> None:
    cases = chosen(all_cases(), ["routed-2*"], ["nchan"])

    assert [(case.name, [run.label for run in case.runs]) for case in cases] == [
        ("routed-2", ["nchan"]),
        ("routed-200", ["nchan"]),
    ]


@pytest.mark.parametrize("folder", sorted((DOCS / "reports").glob("*-bench")), ids=lambda f: f.name)
def test_a_kept_report_is_what_its_raw_numbers_say(folder: Path) -> None:
    assert page(folder) == (folder / "README.md").read_text()
