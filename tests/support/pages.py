"""The pages of the documentation, taken apart."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Reports are written by the load test, one folder each.
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.name != "summary.md")
EVERY_PAGE = [*PAGES, *sorted((ROOT / "examples").rglob("*.md")), ROOT / "README.md"]

Row = dict[str, str]


def name_of(page: Path) -> str:
    """The page's path, as the name of a test's parameter."""
    return str(page.relative_to(ROOT))


def tables(page: Path) -> Iterator[list[Row]]:
    """Every table of a page: its rows by the names of its columns, without back-ticks."""
    for block in re.findall(r"(?:^\|.*\|\n)+", page.read_text(), re.MULTILINE):
        lines = [
            [cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.splitlines()
        ]
        yield [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def rows(page: Path, *columns: str) -> list[Row]:
    """The rows of all tables of a page that have these columns."""
    found = [row for table in tables(page) for row in table if set(columns) <= row.keys()]
    assert found, f"{page.name} has no table with the columns {columns}"
    return found


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language, without their indentation."""
    pattern = rf"^ *```{language}\n(.*?)^ *```$"
    found = re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def anchors(page: Path) -> set[str]:
    """The anchors that headings make, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Where a page leads, but for addresses elsewhere."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    return [link for link in found if not re.match(r"[a-z]+:", link)]
