"""What the scenarios share that do something to the gateway."""

from __future__ import annotations

import time
from typing import ClassVar, Final

from loadtest.scenarios.base import Phases
from loadtest.tally import percentile

# What a port or a proxy answers while nobody is behind it.
UNSERVED: Final = frozenset({"ConnectionRefusedError", "HTTP 502", "HTTP 503", "HTTP 504"})


class Timed(Phases):
    """Strikes at shares of the load's time."""

    abstract = True
    at: ClassVar[tuple[float, ...]] = ()
    struck = 0
    alone = False  # the only one was struck

    def begin(self) -> None:
        self.struck = 0
        self.alone = False

    def strike(self) -> str:
        """Do it. Returns what was done, for the plots."""
        raise NotImplementedError

    def act(self, elapsed_s: float) -> bool:
        if self.run.stand.busy() or self.struck == len(self.at):
            return True
        if elapsed_s >= self.at[self.struck] * self.run.arguments.seconds:
            self.alone = self.alone or self.run.stand.alone()
            self.record.mark(time.time(), self.strike())
            self.struck += 1
            self.run.say(f"  {self.record.events[-1].label}")
        return True

    def judge(self) -> None:
        if self.struck < len(self.at):
            self.record.reasons.append(f"struck {self.struck} times of {len(self.at)}")
        if self.run.stand.busy():
            self.record.reasons.append("what was done to the gateway did not come to its end")

    def figures(self) -> dict[str, str]:
        away = self.record.tally.all_times("away")
        if not away:
            return {}
        return {
            "what users saw": f"{away.total()} times a connection ended; away "
            f"{percentile(away, 0.5):.2f} s (median), {percentile(away, 1.0):.2f} s (longest)"
        }
