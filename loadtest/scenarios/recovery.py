"""A worker is killed under subscribers, twice: they recover, or are told that they cannot."""

from __future__ import annotations

from loadtest.scenarios.channels import USERS, Channels
from loadtest.scenarios.faults import UNSERVED, Timed
from loadtest.scenarios.kill_worker import CUT_OFF
from loadtest.verdict import Expected

__all__ = ["SHAPE", "USERS"]


class Recovery(Channels, Timed):
    """No warning, no drain; publishers go on."""

    at = (0.3, 0.65)

    def strike(self) -> str:
        return self.run.stand.kill_worker()

    def judge(self) -> None:
        super().judge()
        tally = self.record.tally
        if not tally.total("recovered") + tally.total("not recovered"):
            self.record.reasons.append("nobody had to recover: no worker of subscribers was killed")

    def expected(self) -> Expected:
        refusals = CUT_OFF | UNSERVED if self.alone else CUT_OFF
        return Expected(closes={1006}, refusals=refusals, kills=self.struck)


SHAPE = Recovery
