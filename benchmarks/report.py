"""Write a report from its raw numbers: ``python -m benchmarks.report FOLDER``.

FOLDER holds raw.json, and reasons.json: why a budget is not met, or a peer is not where it was
expected, by its key. Both are read again, so that words may be added after the run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.budgets import all_shown
from benchmarks.peers.installing import PYTHON, Missing, run
from benchmarks.results import Raw, case_of, each, is_void, median, ratio_of

NEAR = 4 / 3  # of what was expected
COLUMNS = {
    "CPU us": ("total_cpu_us", "{:.1f}"),
    "/s": ("per_s", "{:,.0f}"),
    "p50 ms": ("p50_ms", "{:.2f}"),
    "p99 ms": ("p99_ms", "{:.2f}"),
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def spread(run_: Raw, figure: str, shape: str) -> str:
    """The median, and the extremes where there are several rounds."""
    found = each(run_, figure)
    middle = shape.format(median(run_, figure))
    if len(found) == 1:
        return middle
    return f"{middle} ({shape.format(min(found))}-{shape.format(max(found))})"


def void_reasons(run_: Raw) -> str:
    found = [figures["void"] for figures in run_["rounds"] if figures["void"]]
    return f"**void**: {json.dumps(found)}"


def case_section(case: Raw) -> str:
    lines = [f"## {case['title']}", f"`CASES={case['name']}`"]
    body = idle_table(case) if case["name"].startswith("idle") else case_table(case)
    notes = [
        f"- {run_['label']}: {' / '.join(f['notes'] for f in run_['rounds'])}"
        for run_ in case["runs"]
        if any(f["notes"] for f in run_["rounds"])
    ]
    return "\n\n".join([*lines, body, *(["\n".join(notes)] if notes else [])])


def case_table(case: Raw) -> str:
    base, rows = case["runs"][0], []
    for run_ in case["runs"]:
        if is_void(run_):
            rows.append([run_["label"], void_reasons(run_), *[""] * (len(COLUMNS) + 2)])
            continue
        ratio = ratio_of(run_, base, "total_cpu_us")
        rates = ratio_of(run_, base, "per_s")
        rows.append(
            [
                run_["label"],
                *(spread(run_, *column) for column in COLUMNS.values()),
                f"{ratio:.2f}" if ratio else "",
                f"{rates:.2f}" if rates else "",
                ", ".join(f"{value:.1f}" for value in each(run_, "total_cpu_us")),
            ]
        )
    return table(["", *COLUMNS, "CPU, ratio", "rate, ratio", "CPU us of each round"], rows)


def idle_table(case: Raw) -> str:
    rows = [
        [
            run_["label"],
            void_reasons(run_) if is_void(run_) else f"{median(run_, 'idle_bytes') / 1000:.1f}",
        ]
        for run_ in case["runs"]
    ]
    return table(["", "KB a connection"], rows)


def budgets_section(raw: Raw, reasons: dict[str, str]) -> str:
    words = {True: "yes", False: "**no**", None: "not measured"}
    rows = [
        [shown.promise, shown.figure, words[shown.met], reasons.get(shown.key, "")]
        for shown in all_shown(raw)
    ]
    return "## Budgets\n\n" + table(["budget", "figure", "met", "why not"], rows)


def expected_section(raw: Raw, reasons: dict[str, str]) -> str:
    """Is every peer about as good as it was known to be?"""
    rows = []
    for name in ("routed-200", "echo"):
        case = case_of(raw, name) or {"runs": []}
        for run_ in case["runs"]:
            expected = run_["expected_us"]
            if not expected:
                continue
            if is_void(run_):
                rows.append([run_["label"], f"{expected:.1f}", "void", "", ""])
                continue
            found = median(run_, "total_cpu_us")
            near = "yes" if 1 / NEAR <= found / expected <= NEAR else "**no**"
            why = reasons.get(f"expected-{run_['label']}", "")
            rows.append([run_["label"], f"{expected:.1f}", f"{found:.1f}", near, why])
    return (
        "## Are the peers themselves?\n\nEach must come within a third of what prototypes and "
        "earlier runs found for it (CPU us a message; 200 connections, or the echo).\n\n"
        + table(["peer", "expected", "found", "within a third", "why not"], rows)
    )


def head_section(raw: Raw) -> str:
    facts: list[tuple[str, Any]] = [
        ("when", raw["started"]),
        ("command", f"`{raw['command']}`"),
        ("commit", raw["commit"]),
        ("rounds", f"{raw['rounds']} of {raw['seconds']} s, interleaved"),
        *raw["machine"].items(),
        *raw["versions"].items(),
    ]
    rows = [[str(name), str(value)] for name, value in facts]
    peers: dict[str, list[str]] = {}
    for peer, found in raw["peers"].items():
        lacking = isinstance(found, str)
        what = f"**not measured**: {found}" if lacking else ", ".join(map(" ".join, found.items()))
        peers.setdefault(what, []).append(peer)
    rows += [["; ".join(names), what] for what, names in peers.items()]
    return (
        "# Benchmarks\n\nCPU is that of all server processes: workers, their parents, nginx, "
        "Redis; for each answered message, handshake or push. Clients are in processes of their "
        "own and check every answer; a run with a lost, doubled or misrouted message is void. A "
        "figure is the median of the rounds, with the extremes; a ratio is to the first line of "
        "its table, and the median of those within each round. Compare ratios, not figures of "
        "different runs. [How to run it, and how to draw plots of it](../../guides/benchmarks.md); "
        "[raw numbers](raw.json).\n\n" + table(["", ""], rows)
    )


def written(folder: Path) -> None:
    """README.md, from what the folder holds, and the plots."""
    reasons_file = folder / "reasons.json"
    if not reasons_file.exists():
        reasons_file.write_text("{}\n")
    (folder / "README.md").write_text(page(folder))
    plotted(folder)


def page(folder: Path) -> str:
    """README.md: the same of the same raw numbers and reasons."""
    raw = json.loads((folder / "raw.json").read_text())
    reasons = json.loads((folder / "reasons.json").read_text())
    sections = [
        head_section(raw),
        budgets_section(raw, reasons),
        expected_section(raw, reasons),
        *(case_section(case) for case in raw["cases"]),
    ]
    return "\n\n".join(s.strip() for s in sections) + "\n"


def plotted(folder: Path) -> None:
    """Draw the plots. Their library is installed beside the peers; without it, none."""
    try:
        run([str(PYTHON), "-m", "benchmarks.plots", str(folder.resolve())])
    except Missing as lacking:
        print(f"no plots: {lacking}", file=sys.stderr)


if __name__ == "__main__":
    written(Path(sys.argv[1]))
