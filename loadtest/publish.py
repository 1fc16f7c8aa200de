"""``python -m loadtest.publish FOLDER…``: keep results as the reports of their scenarios.

Copies the summary, and what pages are made of, to ``docs/reports/<scenario>/``. Writes the table
of its README anew, from all summaries that lie there. A folder of ``make capacity`` goes to the
guide.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.arguments import SCENARIOS, Refused

DOCS: Final = Path(__file__).parents[1] / "docs"
MOST_BYTES: Final = 150_000  # of everything that was ever kept, git keeps all
KEPT: Final = ("summary.md", "run.json")
# What is worth a line in the table, of those figures that a scenario has.
TOLD: Final = (
    "knee", "broke", "memory, first and last tenth", "open files, first and last tenth",
    "what users saw", "receipts", "closes of slow readers", "slots moved", "ledger", "gaps",
    "live again", "latency of deliveries", "latency",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """What ``summary.md`` says."""

    headline: str
    scenario: str
    date: str
    figures: dict[str, str]


def read_summary(text: str) -> Summary:
    """Read what ``loadtest.report.kept`` wrote.

    Raises:
        Refused: It is something else.
    """
    title = re.search(r"^# (\w+), (\d{4}-\d\d-\d\d)", text, re.MULTILINE)
    if title is None or title[1] not in SCENARIOS:
        raise Refused("not the summary of a run")
    figures = dict(re.findall(r"^\| ([^|]+?) \| (.+?) \|$", text, re.MULTILINE))
    return Summary(text.partition("\n")[0], title[1], title[2], figures)


def keep(folder: Path, reports: Path) -> str:
    """Copy one result. Returns its scenario.

    Raises:
        Refused: There is no such result, or it is too large to be kept.
    """
    if missing := [name for name in KEPT if not (folder / name).is_file()]:
        raise Refused(f"{folder} has no {' and no '.join(missing)}")
    try:
        scenario = read_summary((folder / "summary.md").read_text(encoding="utf-8")).scenario
    except Refused as refused:
        raise Refused(f"{folder}: {refused}") from None
    size_bytes = (folder / "run.json").stat().st_size
    if size_bytes > MOST_BYTES:
        raise Refused(f"{folder}: run.json has {size_bytes} bytes, {MOST_BYTES} are the most")
    (reports / scenario).mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(folder / name, reports / scenario / name)
    return scenario


def command(found: Summary) -> str:
    """What can be typed to see the same, with a gateway that the load test starts."""
    asked = re.match(r"(\d+) users, (\S+) messages/s, (\S+) s", found.figures.get("asked for", ""))
    if asked is None:
        return f"make loadtest SCENARIO={found.scenario}"
    processes = re.match(r"(\d+) process", found.figures.get("generator", ""))
    several = f"LOCUST_PROCESSES={processes[1]} " if processes and processes[1] != "1" else ""
    users, rate, seconds = asked.groups()
    return (
        f"{several}make loadtest SCENARIO={found.scenario} "
        f"USERS={users} RATE={rate} SECONDS={seconds}"
    )


def table(reports: Path) -> str:
    """One row for each scenario that has a report, in the order of the guide."""
    lines = ["| scenario | date and machine | command | outcome |", "|---|---|---|---|"]
    for scenario in SCENARIOS:
        file = reports / scenario / "summary.md"
        if not file.exists():
            continue
        found = read_summary(file.read_text(encoding="utf-8"))
        told = [f"{name}: {found.figures[name]}" for name in TOLD if name in found.figures]
        cells = (
            f"[{scenario}]({scenario}/summary.md)",
            f"{found.date}, {found.figures.get('machine', 'unknown')}",
            f"`{command(found)}`",
            "; ".join([f"**{found.headline}**", *told]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def put(page: Path, mark: str, text: str) -> None:
    """Replace what stands in a page between a mark and the next end.

    Raises:
        Refused: The page has no such mark.
    """
    begin = f"<!-- {mark}: python -m loadtest.publish -->\n"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, end, after = rest.partition("<!-- end -->")
    if not found or not end:
        raise Refused(f"{page} has no place for this: {begin.strip()}")
    page.write_text(before + begin + text + end + after, encoding="utf-8")


def publish(folders: Sequence[Path], docs: Path = DOCS) -> list[str]:
    """Keep every folder. Returns what was done, for people.

    Raises:
        Refused: One of them cannot be kept; those before it were.
    """
    done = []
    for folder in folders:
        if (folder / "capacity.md").is_file():
            text = (folder / "capacity.md").read_text(encoding="utf-8")
            put(docs / "guides" / "capacity.md", "from make capacity", text)
            done.append(f"{folder}: docs/guides/capacity.md")
        else:
            done.append(f"{folder}: docs/reports/{keep(folder, docs / 'reports')}")
    reports = docs / "reports"
    put(reports / "README.md", "from the reports", table(reports))
    return done


def main(names: Sequence[str]) -> int:
    """Publish what is named; without a name only the table is written."""
    try:
        print("\n".join(publish([Path(name) for name in names])))
    except Refused as refused:
        print(f"publish: {refused}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
