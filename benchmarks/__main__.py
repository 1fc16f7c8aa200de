"""Measure, and write a report: ``make bench``, or ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from benchmarks.cases import all_cases
from benchmarks.machine import commit, machine, versions
from benchmarks.measure import ClientFailed, Figures, measure
from benchmarks.peers.installing import Missing
from benchmarks.peers.processes import ROOT, DidNotStart
from benchmarks.report import written
from benchmarks.results import Raw, is_void
from benchmarks.runs import Case, Run

FAILURES = (
    ClientFailed,
    DidNotStart,
    OSError,
    RuntimeError,
    AssertionError,
    ValueError,
    psutil.Error,
    redis.RedisError,
    pytest.fail.Exception,  # of what the tests start servers with
)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    names = " ".join(case.name for case in all_cases())
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--cases", nargs="*", default=[], help=f"patterns for: {names}")
    parser.add_argument("--peers", nargs="*", default=[], help="parts of the names of peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--idle", type=int, default=10_000, help="connections of the idle case")
    parser.add_argument("--folder", type=Path, help="instead of docs/reports/<date>-bench")
    return parser.parse_args(arguments)


def chosen(cases: Sequence[Case], patterns: Sequence[str], peers: Sequence[str]) -> list[Case]:
    """The cases that match a pattern, with the runs that match a peer; no pattern: all."""
    found = []
    for case in cases:
        if patterns and not any(fnmatch(case.name, pattern) for pattern in patterns):
            continue
        runs = [run for run in case.runs if not peers or any(p in _names(run) for p in peers)]
        if runs:
            found.append(Case(case.name, case.title, runs, case.once))
    return found


def _names(run: Run) -> str:
    return f"{run.label} {run.peer.name} {type(run.peer).__name__}".lower()


def installed(cases: Sequence[Case]) -> dict[str, dict[str, str] | str]:
    """Every peer's versions, or why it cannot be had."""
    found: dict[str, dict[str, str] | str] = {}
    for run in (run for case in cases for run in case.runs):
        if run.peer.name not in found:
            try:
                run.peer.install()
                found[run.peer.name] = run.peer.versions()
            except Missing as lacking:
                found[run.peer.name] = str(lacking)
    return found


def tried(run: Run, seconds: float) -> Figures:
    """A run that fails is void too: the others go on."""
    try:
        return measure(run, seconds)
    except FAILURES as error:
        return Figures(void={"failed": f"{type(error).__name__}: {str(error)[-300:]}"})


def measured(case: Case, rounds: int, seconds: float) -> dict[str, Any]:
    """All rounds of a case, its runs interleaved: A B A B."""
    figures: dict[str, list[Figures]] = {run.label: [] for run in case.runs}
    for _ in range(1 if case.once else rounds):
        for run in case.runs:
            found = tried(run, seconds)
            figures[run.label].append(found)
            print(f"{case.name:12} {run.label:36} {line(found)}", flush=True)
    runs = [
        {
            "label": run.label,
            "peer": run.peer.name,
            "workers": run.peer.processes,
            "expected_us": run.peer.expected_us,
            "load": asdict(run.load),
            "disturbance": asdict(run.disturbance) if run.disturbance else None,
            "rounds": [asdict(found) for found in figures[run.label]],
        }
        for run in case.runs
    ]
    return {"name": case.name, "title": case.title, "runs": runs}


def line(found: Figures) -> str:
    if found.void:
        return f"VOID {found.void} {found.notes}"
    if found.idle_bytes:
        return f"{found.idle_bytes / 1000:8.1f} KB"
    return (
        f"{found.total_cpu_us:8.1f} us {found.per_s:8.0f} /s "
        f"p50 {found.p50_ms:7.2f} p99 {found.p99_ms:7.2f} ms {found.notes}"
    )


def main() -> int:
    options = parsed()
    # What was started is ended on the way out. In the background of a shell, SIGINT is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    started = datetime.now(UTC)
    cases = chosen(all_cases(options.idle), options.cases, options.peers)
    if not cases:
        print("no case and peer of these names", file=sys.stderr)
        return 2
    raw: dict[str, Any] = {
        "started": started.isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "commit": commit(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "machine": machine(),
        "versions": versions(),
        "peers": installed(cases),
        "cases": [],
    }
    lacking = [name for name, found in raw["peers"].items() if isinstance(found, str)]
    for name in lacking:
        print(f"{name}: not measured: {raw['peers'][name]}", file=sys.stderr)
    folder = options.folder or ROOT / "docs" / "reports" / f"{started:%Y-%m-%d}-bench"
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        runs = [run for run in case.runs if run.peer.name not in lacking]
        if runs:
            here = Case(case.name, case.title, runs, case.once)
            raw["cases"].append(measured(here, options.rounds, options.seconds))
            (folder / "raw.json").write_text(json.dumps(raw, indent=1) + "\n")
    written(folder)
    print(f"report: {folder / 'README.md'}")
    void = void_runs(raw)
    if void:
        print(f"void: {', '.join(void)}", file=sys.stderr)
    return 1 if void or lacking else 0


def void_runs(raw: Raw) -> list[str]:
    return [
        f"{case['name']} {run['label']}"
        for case in raw["cases"]
        for run in case["runs"]
        if is_void(run)
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: no report")
