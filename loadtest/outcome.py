"""What the last test came to: left as a report, and told to people and to other programs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from loadtest.record import Record
from loadtest.report.writing import write_report
from loadtest.verdict import Expected, headline, reasons

NO_TEST: Final = "no test was run"
LEDGER: Final = (
    "messages", "publications", "ledger", "gaps", "receipts", "faults", "errors",
    "told to try again", "closes", "refused handshakes",
)  # fmt: skip


class Judged(Protocol):
    """What is asked of a scenario when its test is over."""

    def expected(self) -> Expected: ...
    def figures(self) -> dict[str, str]: ...


class Outcome:
    """Of the last of the tests that leave their reports in one folder.

    Attributes:
        reasons: Why it was not clean; None while no test has come to an end.
        folder: Where its report lies.
    """

    def __init__(self, results: Path) -> None:
        self._results = results
        self._figures: Mapping[str, str] = {}
        self._told = False
        self.reasons: list[str] | None = None
        self.folder: Path | None = None

    def begin(self) -> None:
        """A test begins: what it comes to is to be told."""
        self._told = False

    def write(self, record: Record, scenario: Judged) -> None:
        """Judge a test that is over, and write its report."""
        self.reasons = reasons(record, scenario.expected())
        day = datetime.now().strftime("%Y-%m-%d")  # noqa: DTZ005 (the day where the test is run)
        self.folder = _fresh(self._results / f"{day}-{record.arguments.scenario}")
        self._figures = write_report(record, self.reasons, self.folder, scenario.figures())

    def tell(self) -> None:
        """Print the verdict and the books behind it, once."""
        if self._told:
            return
        self._told = True
        lines = [NO_TEST if self.reasons is None else headline(self.reasons)]
        lines += [f"{name}: {self._figures[name]}" for name in LEDGER if name in self._figures]
        if self.folder:
            lines.append(f"report: {self.folder}/report.html")
        print("\n".join(lines), flush=True)

    @property
    def exit_code(self) -> int:
        """0 when the last test was clean, 1 when it was not, 2 without one."""
        return 2 if self.reasons is None else int(bool(self.reasons))


def _fresh(folder: Path) -> Path:
    """This folder, or the same with a number when there was a run before."""
    candidate, number = folder, 1
    while (candidate / "summary.md").exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    candidate.mkdir(parents=True, exist_ok=True)
    return candidate
