"""All workers are replaced, twice, the way a deployment does it. Users are asked to come back."""

from __future__ import annotations

from loadtest.scenarios.faults import UNSERVED, Timed
from loadtest.users.gateway import GatewayUser
from loadtest.verdict import Expected


class RestartUser(GatewayUser):
    """Comes back when it is sent away."""


class RollingRestart(Timed):
    """The new workers come first, then the old ones drain."""

    at = (0.15, 0.55)

    def strike(self) -> str:
        return self.run.stand.restart_all()

    def judge(self) -> None:
        super().judge()
        if not self.record.tally.total("close 3001"):
            self.record.reasons.append("no worker was replaced: nobody was closed with 3001")

    def expected(self) -> Expected:
        # Workers of one machine are replaced before they go, the only container is not.
        gap = self.alone and self.run.arguments.compose
        return Expected(closes={3001}, refusals=UNSERVED if gap else ())


USERS = (RestartUser,)
SHAPE = RollingRestart
