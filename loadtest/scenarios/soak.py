"""Many connections for long: what leaks shows in memory and open files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from loadtest.record import Sample
from loadtest.scenarios.base import Phases
from loadtest.users.gateway import GatewayUser

LONG_ENOUGH_S: Final = 60.0
GROWTH: Final = 0.10
BYTES: Final = 20_000_000
FILES: Final = 50


class SoakUser(GatewayUser):
    """Mostly silent."""


class Soak(Phases):
    """Memory and open files of the last tenth, against those after the first."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[str, str] = {}

    def begin(self) -> None:
        self._found = {}

    def judge(self) -> None:
        took_s = self.record.load_to_unix_s - self.record.load_from_unix_s
        under_load = [
            sample
            for sample in self.record.samples
            if self.record.load_from_unix_s <= sample.at_unix_s <= self.record.load_to_unix_s
            and sample.gateway_bytes
        ]
        if took_s < LONG_ENOUGH_S or len(under_load) < 20:
            self.record.notes.append("Too short, or too little known, to say anything of leaks.")
            return
        tenth = len(under_load) // 10
        early, late = under_load[tenth : 2 * tenth], under_load[-tenth:]
        memory = _means(early, late, lambda sample: sample.gateway_bytes or 0)
        files = _means(early, late, lambda sample: sample.gateway_files or 0)
        if memory[1] - memory[0] > max(BYTES, GROWTH * memory[0]):
            self.record.reasons.append(
                f"memory grew from {memory[0] / 1e6:.0f} MB to {memory[1] / 1e6:.0f} MB"
            )
        if files[1] - files[0] > FILES:
            self.record.reasons.append(f"open files grew from {files[0]:.0f} to {files[1]:.0f}")
        self._found = {
            "memory, first and last tenth": f"{memory[0] / 1e6:.1f} MB, {memory[1] / 1e6:.1f} MB",
        }
        if files[1]:  # a gateway elsewhere may not say
            self._found["open files, first and last tenth"] = f"{files[0]:.0f}, {files[1]:.0f}"

    def figures(self) -> dict[str, str]:
        return self._found


def _means(
    early: list[Sample], late: list[Sample], measure: Callable[[Sample], int]
) -> tuple[float, float]:
    first, last = (sum(map(measure, some)) / len(some) for some in (early, late))
    return first, last


USERS = (SoakUser,)
SHAPE = Soak
