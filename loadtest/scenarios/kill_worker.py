"""A worker is killed, twice. Its own sockets end; what it handled for others is handled again."""

from __future__ import annotations

from typing import Final

from loadtest.scenarios.faults import UNSERVED, Timed
from loadtest.users.gateway import GatewayUser
from loadtest.verdict import Expected

# Handshakes that the killed worker had taken. Whoever comes later finds another one.
CUT_OFF: Final = frozenset(
    {"ConnectionResetError", "BrokenPipeError", "WebSocketConnectionClosedException"}
)


class SurvivingUser(GatewayUser):
    """Comes back when its worker dies."""


class KillWorker(Timed):
    """No warning, no drain."""

    at = (0.3, 0.65)

    def strike(self) -> str:
        return self.run.stand.kill_worker()

    def judge(self) -> None:
        super().judge()
        if not self.record.tally.total("close 1006"):
            self.record.reasons.append("nobody lost a connection: no worker with users was killed")

    def expected(self) -> Expected:
        refusals = CUT_OFF | UNSERVED if self.alone else CUT_OFF
        return Expected(closes={1006}, refusals=refusals, kills=self.struck)


USERS = (SurvivingUser,)
SHAPE = KillWorker
