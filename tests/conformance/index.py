"""Writes ``index.md``: what became of each of Autobahn's cases, in one run of today."""

from __future__ import annotations

import platform
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from tests.conformance.test_autobahn import Results, run_all
from tests.support.autobahn import VERSION

INDEX = Path(__file__).with_name("index.md")
PARTS = ("picows", "uvicorn", "uvloop")


def index(results: Results) -> str:
    """One line a case, and how many went how."""
    agents = sorted(results)
    cases = sorted(set().union(*results.values()), key=lambda case: [*map(int, case.split("."))])
    sums = {agent: Counter(results[agent].values()) for agent in agents}
    made_with = [f"autobahntestsuite {VERSION}", f"CPython {platform.python_version()}"]
    made_with += [f"{part} {version(part)}" for part in PARTS]
    lines = [
        "# Autobahn, case by case",
        "",
        f"Written by `make autobahn-index` with {', '.join(made_with)}.",
        "[README.md](README.md) says which servers these are, and explains what is not OK.",
        "",
        f"| case | {' | '.join(agents)} |",
        f"|---|{'---|' * len(agents)}",
        *(
            f"| {case} | {' | '.join(results[agent].get(case, 'left out') for agent in agents)} |"
            for case in cases
        ),
        "",
        *(
            f"**{agent}**: " + ", ".join(f"{count} {how}" for how, count in sums[agent].items())
            for agent in agents
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        INDEX.write_text(index(run_all(Path(folder))))
