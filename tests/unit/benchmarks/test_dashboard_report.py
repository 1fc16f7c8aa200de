"""What is told of a day: what moved, what was silent, and the same after it was kept."""

from __future__ import annotations

from pathlib import Path

from benchmarks.dashboard import kept
from benchmarks.dashboard.kept import Asked, Curve, Day, Fault, Panel, Row, in_unit
from benchmarks.dashboard.report import moved, told


def curve(*values: float | None) -> Curve:
    return Curve("one", list(values))


def day(*curves: Curve, legend: str = "one") -> Day:
    """Four quiet seconds, a fault of three, another of three."""
    panel = Panel(101, "Ports", "short", 1, True, [Asked("sum(up)", legend, list(curves))])
    faults = [Fault("killed", 4.0, 5.0), Fault("frozen", 7.0, 9.5)]
    return Day({"date": "2026-11-29"}, ["all well"], 10, faults, [Row("Well?", [panel])])


def row_of(report: str, name: str) -> list[str]:
    [line] = [line for line in report.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_fault_lasts_to_the_next_one() -> None:
    assert list(day().spans()) == [
        ("quiet", 0.0, 4.0), ("killed", 4.0, 7.0), ("frozen", 7.0, 10.0)
    ]  # fmt: skip


def test_what_goes_where_it_was_not_has_moved() -> None:
    for values, has in (
        ([2, 2, 3, 2, 3, 3, 3], False),
        ([2, 2, 3, 2, 3, 4, 3], True),
        ([2, 2, 3, 2, 1, 2, 2], True),
        ([0, 0, 0, 0, 0, 0.1, 0], True),
        ([0, 0, 0, 0, 0, 0, 0], False),
        ([None, None, None, None, 0, None, None], True),
        ([1, 1, 1, 1, None, None, None], True),
        ([None] * 7, False),
    ):
        assert moved(curve(*values), day(), 4.0, 7.0) is has, values


def test_times_have_to_move_further() -> None:
    slower = curve(1, 1, 1, 1, 1.5, 1.5, 1.5)

    assert moved(slower, day(), 4.0, 7.0, "ops")
    assert not moved(slower, day(), 4.0, 7.0, "s")


def test_each_fault_has_its_cell() -> None:
    report = told(day(curve(2, 2, 2, 2, 1, 1, 2, None, None, None)), {"101": "As it should."})

    assert row_of(report, "one") == [
        "one", "1", "2", "silence", "2", "**1 to 2**", "**silence**"
    ]  # fmt: skip
    assert "### 101 Ports\n\nAs it should.\n\n- `sum(up)`" in report
    assert row_of(report, "killed") == ["killed", "4.0", "5.0", "101"]


def test_a_query_without_a_curve_is_silent() -> None:
    assert row_of(told(day(legend="{{code}}"), {}), "{{code}}")[1:] == ["silence"] * 6


def test_what_is_kept_is_what_was(tmp_path: Path) -> None:
    whole = day(curve(1, None, 2.5))
    kept.write(whole, tmp_path)

    assert kept.read(tmp_path) == whole


def test_values_are_read_with_their_units() -> None:
    said = [in_unit(v, unit) for v, unit in ((0.25, "percentunit"), (0.004, "s"), (2.0, "s"),
            (18e6, "bytes"), (12_345, "ops"), (9_999, "short"), (0, "s"))]  # fmt: skip

    assert said == ["25 %", "4 ms", "2 s", "18 MB", "12.3k", "9,999", "0 s"]
