"""When a silent channel is looked at: a gap at its end is found by nothing else."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Final

from gateway.channels.local_channel import LocalChannel
from gateway.protocol.worker_channel import LOOK_S

FIRST_RETRY_S: Final = 1.0
SLACK: Final = 1000  # plans of channels that are no more


class Looks:
    """The looks that are planned: one a channel.

    Args:
        random: From 0 to 1.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._serial = itertools.count()  # of two at the same time, the first
        self._queue: list[tuple[float, int, LocalChannel]] = []
        self._planned: set[LocalChannel] = set()

    def plan(self, local: LocalChannel, since: float) -> None:
        """A look ``LOOK_S`` after ``since``, or some seconds less: not all in one second."""
        local.planned_at = since
        self._put(local, since + LOOK_S * (0.75 + 0.25 * self._random()))

    def retry(self, local: LocalChannel, now: float) -> None:
        """Another look soon, and later the more of them have failed."""
        local.failures += 1
        after_s = min(LOOK_S, FIRST_RETRY_S * 2.0 ** min(local.failures - 1, 10))
        self._put(local, now + after_s * (0.5 + 0.5 * self._random()))

    def forget(self, local: LocalChannel) -> None:
        self._planned.discard(local)
        if len(self._queue) > 2 * len(self._planned) + SLACK:
            self._queue = [plan for plan in self._queue if self._holds(plan)]
            heapq.heapify(self._queue)

    def due(self, now: float, most: int) -> Iterator[LocalChannel]:
        """Up to ``most`` channels to be looked at now; their next look is planned.

        The turn of the others comes with the next call.
        """
        while most and self._queue and self._queue[0][0] <= now:
            plan = heapq.heappop(self._queue)
            if not self._holds(plan):
                continue
            local = plan[2]
            doubted = local.machine.owes_look or local.failures
            if local.heard_at > local.planned_at and not doubted:
                self.plan(local, local.heard_at)
                continue
            self.plan(local, now)
            most -= 1
            yield local

    def _holds(self, plan: tuple[float, int, LocalChannel]) -> bool:
        at, _, local = plan
        return at == local.look_at and local in self._planned

    def _put(self, local: LocalChannel, at: float) -> None:
        local.look_at = at
        self._planned.add(local)
        heapq.heappush(self._queue, (at, next(self._serial), local))
