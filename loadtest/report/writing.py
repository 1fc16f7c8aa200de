"""Leaving a run: ``run.json``, and the summary and the page that are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from loadtest.arguments import Refused
from loadtest.record import Record
from loadtest.report.kept import kept_of, read, summary_of, written
from loadtest.report.page import page_of


def write_report(
    record: Record, why: list[str], folder: Path, own_figures: Mapping[str, str]
) -> Mapping[str, str]:
    """Write ``run.json``, ``summary.md`` and ``report.html`` into the folder.

    Args:
        why: Reasons for which the run was not clean.
        own_figures: What the scenario has to say beside what all have.

    Returns:
        All figures by name.
    """
    kept = kept_of(record, why, own_figures)
    (folder / "run.json").write_text(written(kept), encoding="utf-8")
    (folder / "summary.md").write_text(summary_of(kept), encoding="utf-8")
    (folder / "report.html").write_text(page_of(kept), encoding="utf-8")
    return kept.figures


def write_page(folder: Path) -> Path:
    """Write ``report.html`` again, from ``run.json``.

    Raises:
        Refused: The folder holds no run.
    """
    try:
        kept = read((folder / "run.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}: run.json") from None
    page = folder / "report.html"
    page.write_text(page_of(kept), encoding="utf-8")
    return page
