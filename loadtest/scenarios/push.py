"""A backend sends to connections over HTTP, and every receipt must be true."""

from __future__ import annotations

import math
from typing import Any, Final

from loadtest.scenarios.base import Phases
from loadtest.users.gateway import GatewayUser
from loadtest.users.pusher import PushUser

PER_PUSHER: Final = 25.0  # pushes a second of one: each waits for its receipt
TALK_PER_S: Final = 0.2


class Listener(GatewayUser):
    """Is pushed to, and says something now and then."""


class Push(Phases):
    """The rate is that of the pushes; pushers come beside the users that were asked for."""

    def prepare(self) -> None:
        arguments = self.run.arguments
        needed = max(math.ceil(arguments.rate / PER_PUSHER), 2 * arguments.processes)
        PushUser.fixed_count = self.others = needed

    def order(self, elapsed_s: float) -> dict[str, Any]:
        return {
            "per_user": TALK_PER_S,
            "pushes": self.run.arguments.rate / self.others if elapsed_s else 0.0,
        }

    def judge(self) -> None:
        tally = self.record.tally
        for name in tally.names("receipt "):
            receipt = name.removeprefix("receipt ")
            if receipt not in {"written", "gone"}:
                self.record.reasons.append(f"{tally.total(name)} pushes were answered {receipt}")
        if not tally.total("pushed"):
            self.record.reasons.append("no push arrived")


USERS = (Listener, PushUser)
SHAPE = Push
