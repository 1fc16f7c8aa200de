"""Autobahn's fuzzing client, where this machine has the Python 2.7 that it needs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINS = ROOT / "tests/conformance/requirements.txt"
VERSION = PINS.read_text().partition("autobahntestsuite==")[2].split()[0]
FOLDER = ROOT / ".autobahn"  # installing takes a minute
RUN_S = 200.0
INSTALL_S = 200.0


class Missing(Exception):
    """The capability that this machine lacks."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One server under test.

    Attributes:
        leaves_out: Cases that it is not made for.
    """

    name: str
    url: str
    leaves_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Autobahn:
    """An installed fuzzing client."""

    python: str

    def run(self, folder: Path, agents: list[Agent], cases: list[str]) -> dict[str, dict[str, str]]:
        """Run the cases against each agent.

        Returns:
            For each agent, case -> OK, NON-STRICT, INFORMATIONAL, UNIMPLEMENTED or FAILED, the
            worse of how the case went and how its connection ended.
        """
        specification = folder / "specification.json"
        specification.write_text(
            json.dumps(
                {
                    "outdir": str(folder / "reports"),
                    "servers": [{"agent": agent.name, "url": agent.url} for agent in agents],
                    "cases": cases,
                    "exclude-cases": [],
                    "exclude-agent-cases": {a.name: list(a.leaves_out) for a in agents},
                }
            )
        )
        program = "from autobahntestsuite.wstest import run; run()"
        command = [self.python, "-c", program, "-m", "fuzzingclient", "-s", str(specification)]
        ended = subprocess.run(
            command, env=_environment(), cwd=folder, capture_output=True, text=True,
            timeout=RUN_S, check=False,
        )  # fmt: skip
        index = folder / "reports" / "index.json"
        if not index.exists():
            raise RuntimeError(f"no report:\n{ended.stdout[-1000:]}\n{ended.stderr[-2000:]}")
        return {agent: _worst(results) for agent, results in json.loads(index.read_text()).items()}


def autobahn() -> Autobahn:
    """The fuzzing client, installed if need be.

    Raises:
        Missing: There is no Python 2.7, or no way to the package.
    """
    python = _python2()
    if not (FOLDER / "installed").exists():
        command = [python, "-m", "pip", "install", "--quiet", "--target", str(FOLDER)]
        try:
            done = subprocess.run(
                [*command, "--no-deps", "-r", str(PINS)],
                capture_output=True, text=True, timeout=INSTALL_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Missing(f"autobahntestsuite could not be installed in {INSTALL_S} s") from None
        if done.returncode:
            raise Missing(f"autobahntestsuite could not be installed: {done.stderr[-300:]}")
        (
            FOLDER / "zope" / "__init__.py"
        ).touch()  # a namespace package, unknown outside of site-packages
        (FOLDER / "installed").touch()
    return Autobahn(python)


def _python2() -> str:
    found = ["python2.7", *map(str, Path.home().glob(".pyenv/versions/2.7*/bin/python"))]
    for python in found:
        try:
            subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    raise Missing("no Python 2.7 with pip on this machine")


def _environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(FOLDER), "PYTHONDONTWRITEBYTECODE": "1"}


def _worst(results: dict[str, dict[str, str]]) -> dict[str, str]:
    order = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED"]

    def badness(outcome: str) -> int:
        return order.index(outcome) if outcome in order else len(order)

    return {
        case: max(result["behavior"], result["behaviorClose"], key=badness)
        for case, result in results.items()
    }
