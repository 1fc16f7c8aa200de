"""What came before its turn on a link: kept, within a bound, until what is missing is here.

Pure: payloads and numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

MAX_RUNS: Final = 256


class ReorderBuffer:
    """Payloads by number, above the last that arrived in its turn.

    Attributes:
        runs: The first and the last number of each run that is held, rising. The gaps are before
            and between them. At most ``MAX_RUNS``, so that they can be told in a header.
    """

    __slots__ = ("_bytes", "_payloads", "runs")

    def __init__(self) -> None:
        self.runs: list[int] = []
        self._payloads: dict[int, bytes] = {}
        self._bytes = 0

    def __contains__(self, number: int) -> bool:
        return number in self._payloads

    def keep(self, number: int, payload: bytes, limit_bytes: int) -> bool:
        """Keep one that is not held. Returns whether it began a run: there is a new gap.

        Over the bound it is not kept, and comes again.
        """
        if self._bytes + len(payload) > limit_bytes:
            return False
        runs = self.runs
        at = bisect_right(runs, number)  # even: it is in no run
        follows, precedes = at > 0 and runs[at - 1] == number - 1, runs[at : at + 1] == [number + 1]
        begins = not follows and not precedes
        if begins and len(runs) >= 2 * MAX_RUNS:
            return False
        if begins:
            runs[at:at] = (number, number)
        elif follows and precedes:
            del runs[at - 1 : at + 1]
        elif follows:
            runs[at - 1] = number
        else:
            runs[at] = number
        self._payloads[number] = payload
        self._bytes += len(payload)
        return begins

    def take(self, number: int) -> list[bytes]:
        """The run that begins with ``number``, which is no longer kept. Empty if none does."""
        if not self.runs or self.runs[0] != number:
            return []
        first, last = self.runs[:2]
        del self.runs[:2]
        payloads = [self._payloads.pop(n) for n in range(first, last + 1)]
        self._bytes -= sum(map(len, payloads))
        return payloads


def within(runs: Sequence[int], number: int) -> bool:
    """Whether it is in one of the runs, each given by its first and its last."""
    at = bisect_right(runs, number)
    return at % 2 == 1 or (at > 0 and runs[at - 1] == number)
