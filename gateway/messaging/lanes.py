"""All lanes of one worker, one for each publisher that its broker has, and their clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextvars import copy_context

from gateway.broker.base import Broker, Publisher
from gateway.messaging.batch_clock import BatchClock
from gateway.messaging.lane import Lane
from gateway.metrics import Counters


class Lanes:
    """Made as channels need them.

    Args:
        ticked: As of ``Lane``.

    Attributes:
        clocks: Of all lanes.
    """

    def __init__(
        self,
        broker: Broker,
        counters: Counters,
        *,
        now: Callable[[], float],
        ticked: Callable[[float], None],
    ) -> None:
        self._broker = broker
        self._counters = counters
        self._now = now
        self._ticked = ticked
        self._lanes: dict[Publisher, Lane] = {}
        self.clocks: tuple[BatchClock, ...] = ()
        self._running: asyncio.Future[None] | None = None
        self._context = copy_context()

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    async def run(self) -> None:
        """Let the clocks run until cancelled. Raises what one of them fails with."""
        running = self._running = asyncio.get_running_loop().create_future()
        self._context = copy_context()
        for lane in self:
            self._start(lane)
        try:
            await running
        finally:
            self._running = None
            await asyncio.gather(*[lane.stop() for lane in self])

    def of(self, channel: str) -> Lane:
        """The lane of what is published to ``channel`` now."""
        publisher = self._broker.route(channel)
        lane = self._lanes.get(publisher)
        if lane is None:
            lane = Lane(publisher, self._counters, now=self._now, ticked=self._ticked)
            self._lanes[publisher] = lane
            self._changed()
            if self._running is not None:
                self._start(lane)
        return lane

    def drop_empty(self) -> None:
        """Those by which nothing leaves any more."""
        for lane in self:
            if not lane.queues and not lane.hints:
                lane.cancel()
                del self._lanes[lane.publisher]
        self._changed()

    def _changed(self) -> None:
        self.clocks = tuple(lane.clock for lane in self._lanes.values())

    def _start(self, lane: Lane) -> None:
        """Not in the context of whoever sends: what leaves is everybody's."""
        lane.start(self._context).add_done_callback(self._stopped)

    def _stopped(self, clock: asyncio.Task[None]) -> None:
        running = self._running
        if clock.cancelled() or running is None or running.done():
            return
        if (error := clock.exception()) is not None:
            running.set_exception(error)
