"""What is left of a run: one page that needs no network, and a summary."""
from __future__ import annotations
from pathlib import Path
from loadtest.record import Record
from loadtest.verdict import headline


def write_report(record: Record, why: list[str], folder: Path, figures: dict[str, str]) -> None:
    (folder / "summary.md").write_text(headline(why) + "\n")
