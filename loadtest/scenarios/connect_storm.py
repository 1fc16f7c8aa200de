"""All clients at once: at first, and when all of them lose their connection in one moment."""

from __future__ import annotations

import time
from typing import Any

from loadtest.arguments import Arguments
from loadtest.scenarios.base import Phases
from loadtest.users.gateway import GatewayUser


class StormUser(GatewayUser):
    """Drops its socket when it is told to, and comes back like any other client."""

    def obey(self, order: dict[str, Any]) -> None:
        super().obey(order)
        if order["what"].startswith("storm") and order["what"] != self._obeyed:
            self.drop()
        self._obeyed = order["what"]


class ConnectStorm(Phases):
    """Everybody comes in one second, and twice leaves and comes back."""

    def spawn_rate(self, arguments: Arguments) -> float:
        return float(arguments.users)  # whatever was asked for: less is no storm

    def order(self, elapsed_s: float) -> dict[str, Any]:
        wave = int(elapsed_s / self.run.arguments.seconds * 3)
        if wave and self.run.generators.order["what"] != f"storm {wave}":
            self.record.mark(time.time(), "all leave")
        return super().order(elapsed_s) | {"what": f"storm {wave}" if wave else ""}

    def judge(self) -> None:
        left = self.record.tally.total("left")
        if left < self.run.arguments.users:
            self.record.reasons.append(f"no storm: only {left} connections were left")


USERS = (StormUser,)
SHAPE = ConnectStorm
