"""The order of the house that no tool checks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("gateway", "tests", "examples", "loadtest", "benchmarks", "deploy", "scripts")
SUFFIXES = {".py", ".js", ".css", ".html", ".lua", ".conf", ".yml", ".sh", ""}
# The last guard, not the measure: a file is parted where it has two reasons to change, and 300
# lines is where one looks whether it has. One that was squeezed under this is over it.
LONGEST = 400

GENERATED = {"__pycache__", "results"}  # of Python and of the load test


def files() -> list[Path]:
    found = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.is_file()]
    return [f for f in found if f.suffix in SUFFIXES and not GENERATED & set(f.parts)]


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def test_there_are_files() -> None:
    assert len(files()) > 100


def test_no_file_is_longer_than_one_can_read() -> None:
    assert not {str(f.relative_to(ROOT)): lines(f) for f in files() if lines(f) > LONGEST}


@pytest.mark.parametrize("lock", ["requirements-dev.lock", "requirements-loadtest.lock"])
def test_every_environment_has_the_gateways_own_packages(lock: str) -> None:
    """The load test and the checks start the gateway from their environments."""
    assert not pins("requirements.lock") - pins(lock)


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[\w.\[\]-]+==\S+", (ROOT / lock).read_text(), re.MULTILINE))


def test_only_one_module_knows_structlog() -> None:
    """A logger of structlog's shows what the surrounding application has set it up to show."""
    knows = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "gateway").rglob("*.py")
        if re.search(r"^\s*(import|from) structlog", file.read_text(), re.MULTILINE)
    }

    assert knows == {"gateway/log/__init__.py"}
