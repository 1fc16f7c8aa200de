"""The slots of a Cluster move while they are used: each that is in use, from master to master."""

from __future__ import annotations

import time
from typing import Final

from loadtest.arguments import Refused
from loadtest.scenarios.base import Phases
from loadtest.users.gateway import GatewayUser

PAUSE_S: Final = 1.0
ROUNDS: Final = 3  # fewer, and nothing was tried


class Moving(Phases):
    """Every second all slots in use go to the next master, and so to and fro.

    They have leases and registry, inboxes of workers, and channels. Whoever uses the gateway is to
    notice nothing: no close and no refusal is expected.
    """

    abstract = True
    rounds = 0
    longest_s = 0.0
    moved = 0
    _next_s = 0.0

    def begin(self) -> None:
        super().begin()
        self.rounds = self.moved = 0
        self.longest_s, self._next_s = 0.0, PAUSE_S

    def act(self, elapsed_s: float) -> bool:
        if elapsed_s < self._next_s:
            return True
        self._next_s = elapsed_s + PAUSE_S
        cluster = self.run.stand.cluster
        assert cluster is not None
        begun_s = time.monotonic()
        try:
            moved = cluster.move_on()
        except Refused as error:
            self.record.reasons.append(str(error))
            return False
        self.longest_s = max(self.longest_s, time.monotonic() - begun_s)
        self.rounds += 1
        self.moved += moved
        if self.rounds in (1, ROUNDS):
            first = self.rounds == 1
            self.record.mark(time.time(), f"{moved} slots moved" if first else "and so on")
        self.run.say(f"  {moved} slots moved")
        return True

    def judge(self) -> None:
        super().judge()
        if self.rounds < ROUNDS:
            self.record.reasons.append(f"slots moved {self.rounds} times of {ROUNDS}")

    def figures(self) -> dict[str, str]:
        masters = len(self.run.stand.cluster.ports) if self.run.stand.cluster else 0
        return {
            "slots moved": f"{self.moved}, in {self.rounds} rounds over {masters} masters; "
            f"the longest took {self.longest_s:.2f} s"
        } | super().figures()


class Reshard(Moving):
    """Under messages that are handled by another worker."""


class MovedUser(GatewayUser):
    """Notices nothing."""


USERS = (MovedUser,)
SHAPE = Reshard
