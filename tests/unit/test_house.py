"""The order of the house that no tool checks."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("gateway", "tests", "examples", "loadtest", "benchmarks", "deploy", "scripts")
SUFFIXES = {".py", ".js", ".css", ".html", ".lua", ".conf", ".yml", ".sh", ""}
LONGEST = 400


def files() -> list[Path]:
    found = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.is_file()]
    return [f for f in found if f.suffix in SUFFIXES and "__pycache__" not in f.parts]


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def test_there_are_files() -> None:
    assert len(files()) > 100


def test_no_file_is_longer_than_one_can_read() -> None:
    assert not {str(f.relative_to(ROOT)): lines(f) for f in files() if lines(f) > LONGEST}
