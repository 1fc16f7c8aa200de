"""A tenth of the clients stops reading, and asks for much. Nobody else may notice."""

from __future__ import annotations

import time
from typing import Any, Final

from gevent.event import Event

from loadtest.checker import Line
from loadtest.scenarios.base import Phases
from loadtest.users.dialects import Meaning
from loadtest.users.gateway import GatewayUser
from loadtest.users.socket import ClientSocket

SHARE: Final = 0.1
READS_S: Final = 3.0  # before it stops reading
FLOOD_BYTES: Final = 32_768
FLOOD_PER_S: Final = 16.0


class HealthyUser(GatewayUser):
    """Reads as usual."""


class SlowReader(GatewayUser):
    """Reads for a while, then asks for half a megabyte a second and reads nothing, until the
    gateway lets it go. Then it comes back and does the same again.
    """

    fixed_count = 1  # the shape knows how many
    receive_bytes = 4096
    close_name = "slow close"
    echo_name = "echo of slow readers"

    def on_start(self) -> None:
        self._may_read = Event()
        self._since_s = 0.0
        self._deaf = False
        super().on_start()

    def obey(self, order: dict[str, Any]) -> None:
        super().obey(order)
        if order["end"]:
            self._hear_again()

    def _hear_again(self) -> None:
        self._deaf = False
        self._may_read.set()

    @property
    def rate(self) -> float:
        return FLOOD_PER_S if self._deaf and super().rate else super().rate

    def written(self, line: Line) -> str:
        return line.text(FLOOD_BYTES if self._deaf else 0)

    def opened(self, socket: ClientSocket) -> None:
        super().opened(socket)
        self._since_s = time.monotonic()

    def broken(self) -> None:
        self._hear_again()

    def take(self, meaning: Meaning, now_s: float, size: int) -> None:
        super().take(meaning, now_s, size)
        if self.generator.talking and now_s - self._since_s > READS_S:
            self._deaf = True
            self._may_read.clear()
            self._may_read.wait()


class SlowReaders(Phases):
    """The share of slow readers is taken out of the users that were asked for."""

    def prepare(self) -> None:
        SlowReader.fixed_count = max(1, round(self.run.arguments.users * SHARE))

    def judge(self) -> None:
        tally = self.record.tally
        if not any(tally.total(name) for name in tally.names("slow close ")):
            self.record.reasons.append("no slow reader was let go")

    def figures(self) -> dict[str, str]:
        return {
            "slow readers": f"{SlowReader.fixed_count}, each with {FLOOD_PER_S:g} messages/s of "
            f"{FLOOD_BYTES // 1024} KiB while it does not read"
        }


USERS = (HealthyUser, SlowReader)
SHAPE = SlowReaders
