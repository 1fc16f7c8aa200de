"""The load test, run as people run it: in its own environment, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.children import mortal

ROOT = Path(__file__).parents[2]
LOCUST = ROOT / ".venv-loadtest" / "bin" / "locust"
# For a run that hangs. One that is slow ends by itself: it gives its gateway 30 s, its users 30,
# its books 45, the gateway's end 40. Of six at once, on a busy machine, one took 61 s.
RUN_S = 240.0
# Six runs share this machine with whatever else it does: whether they get the CPU that they need
# says nothing of them. tests/loadtest/test_verdict.py has what becomes of it.
OVERLOADED = "generator overloaded"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, and what it left behind."""

    code: int
    output: str
    folder: Path

    @property
    def headline(self) -> str:
        return (self.folder / "summary.md").read_text().splitlines()[0]

    @property
    def reasons(self) -> list[str]:
        """Why it was not clean."""
        reasons: list[str] = self.facts["reasons"]
        return reasons

    @property
    def faults(self) -> list[str]:
        """The reasons but for that of a machine that has too much to do."""
        return faults_of(self.facts)

    @property
    def page(self) -> Path:
        return self.folder / "report.html"

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return facts


def faults_of(facts: Mapping[str, Any]) -> list[str]:
    """Why a run was not clean, but for a machine that has too much to do."""
    return [why for why in facts["reasons"] if OVERLOADED not in why]


def locust() -> str:
    """The command, or a skipped test."""
    if not LOCUST.exists():
        if os.environ.get("CI"):
            pytest.fail("no .venv-loadtest: make loadtest-install")
        pytest.skip("no .venv-loadtest: make loadtest-install")
    return str(LOCUST)


def environment(folder: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Without the settings of the test run; what it starts sees no other gateway of this user."""
    foreign = ("GATEWAY_", "COV_", "LOCUST_", "LOADTEST_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "XDG_RUNTIME_DIR": str(folder),
        **(extra or {}),
    }


def run(
    folder: Path, scenario: str, *options: str, extra: Mapping[str, str] | None = None
) -> Outcome:
    """One run to its end. ``extra`` are variables, of the gateway that it starts too."""
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results"
    command = [
        locust(), "-f", "loadtest/locustfile.py", "--headless", "--only-summary",
        "--loglevel", "WARNING", "--scenario", scenario, "--results", str(results), *options,
    ]  # fmt: skip
    done = subprocess.run(
        mortal(command), env=environment(folder, extra), cwd=ROOT, timeout=RUN_S, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    found = sorted(results.glob(f"*-{scenario}"))
    return Outcome(done.returncode, done.stdout, found[0] if found else results)
