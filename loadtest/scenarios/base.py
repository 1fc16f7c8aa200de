"""What all scenarios share: connect, load, settle."""

from __future__ import annotations

from typing import Any

from locust import LoadTestShape

from loadtest.arguments import Arguments
from loadtest.record import Record
from loadtest.run import Run
from loadtest.verdict import Expected

_runs: dict[int, Run] = {}


def begin(environment: Any, run: Run) -> None:
    """Let the shape of this environment find its run."""
    _runs[id(environment)] = run


class Phases(LoadTestShape):
    """Every user connects, the load lasts its time, then answers get theirs.

    A scenario overrides what is different about it.
    """

    abstract = True
    use_common_options = True
    others = 0  # users of other classes, beside the ``users`` that were asked for

    @property
    def run(self) -> Run:
        assert self.runner is not None
        return _runs[id(self.runner.environment)]

    @property
    def record(self) -> Record:
        return self.run.record

    def tick(self) -> tuple[int, float] | None:
        """Locust asks once a second."""
        run = self.run
        if not run.under_way():
            return None
        self.prepare()
        if not run.tick(self):
            return None
        return self.everybody, self.spawn_rate(run.arguments)

    @property
    def everybody(self) -> int:
        return self.run.arguments.users + self.others

    def spawn_rate(self, arguments: Arguments) -> float:
        """Users started a second."""
        return arguments.spawn_rate or max(20.0, min(arguments.users / 2, 200.0))

    def prepare(self) -> None:
        """Before users are made."""

    def begin(self) -> None:
        """Everybody is connected."""

    def order(self, elapsed_s: float) -> dict[str, Any]:  # noqa: ARG002 (of other scenarios)
        """What generators are told now; the same again is no new order."""
        arguments = self.run.arguments
        return {"per_user": arguments.rate / arguments.users}

    def act(self, elapsed_s: float) -> bool:  # noqa: ARG002
        """Once a second under load. False: enough."""
        return True

    def judge(self) -> None:
        """Add reasons of the scenario's own to the record."""

    def expected(self) -> Expected:
        return Expected()

    def figures(self) -> dict[str, str]:
        """For the table of the report."""
        return {}
