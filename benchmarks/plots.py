"""Draw the plots of a report, as SVG: ``python -m benchmarks.plots FOLDER``.

Runs in the environment of the peers (requirements-bench.lock), which has pygal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pygal
from pygal.style import CleanStyle

from benchmarks.results import Raw, case_of, is_void, median

ROUTED = {f"routed-{count}": f"{count} connections" for count in (2, 200, 1000)}
SIZES = {f"size-{size}": size for size in ("64", "1k", "16k", "64k")}


def chart(kind: Any, title: str, unit: str, **options: Any) -> Any:
    made = kind(
        title=title,
        y_title=unit,
        style=CleanStyle(font_family="sans-serif"),
        js=(),
        width=900,
        height=480,
        legend_at_bottom=True,
        value_formatter=lambda value: f"{value:.3g}",
        print_values=True,
        **options,
    )
    made.add_xml_filter(without_scripts)
    return made


def without_scripts(root: Any) -> Any:
    """A page that shows the file would not run them anyway."""
    for parent in list(root.iter()):
        for child in list(parent):
            if str(child.tag).endswith("script"):
                parent.remove(child)
    return root


def figures(case: Raw | None, figure: str) -> dict[str, float]:
    runs = case["runs"] if case else []
    return {run["label"]: median(run, figure) for run in runs if not is_void(run)}


def by_case(raw: Raw, names: dict[str, str], title: str, unit: str, figure: str) -> Any:
    """A bar for each peer, a group for each case that was measured."""
    measured = {shown: figures(case_of(raw, name), figure) for name, shown in names.items()}
    measured = {shown: found for shown, found in measured.items() if found}
    if not measured:
        return None
    drawn = chart(pygal.Bar, title, unit, logarithmic=True)
    drawn.x_labels = list(measured)
    for label in dict.fromkeys(label for found in measured.values() for label in found):
        drawn.add(label, [found.get(label) for found in measured.values()])
    return drawn


def echo(raw: Raw) -> Any:
    found = figures(case_of(raw, "echo"), "total_cpu_us")
    if not found:
        return None
    drawn = chart(pygal.HorizontalBar, "The socket layer alone: echo", "CPU us a message")
    for label, value in found.items():
        drawn.add(label, value)
    return drawn


def main() -> None:
    folder = Path(sys.argv[1])
    raw = json.loads((folder / "raw.json").read_text())
    drawn = {
        "routed-cpu": by_case(raw, ROUTED, "Routed echo", "CPU us a message", "total_cpu_us"),
        "routed-p50": by_case(raw, ROUTED, "Routed echo", "p50, ms", "p50_ms"),
        "routed-p99": by_case(raw, ROUTED, "Routed echo", "p99, ms", "p99_ms"),
        "sizes": by_case(raw, SIZES, "Routed echo by size", "CPU us a message", "total_cpu_us"),
        "echo": echo(raw),
    }
    for name, made in drawn.items():
        if made is not None:
            (folder / f"{name}.svg").write_text(made.render(is_unicode=True) + "\n")


if __name__ == "__main__":
    main()
