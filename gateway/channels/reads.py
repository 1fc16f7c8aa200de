"""Reads of histories: a bounded number at once, those first for which somebody waits.

After a break of the broker's connection every channel is to be compared with its top. Unbounded,
that would be one burst of as many reads as the worker has channels. Of a Cluster each master has
such a bound: one that does not answer holds a read for seconds, and so does a slot without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.channel_broker.base import ChannelBroker
from gateway.channels.local_channel import LocalChannel
from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.protocol.channel_steps import Read
from gateway.protocol.recovery import History

log = get_logger(__name__)

AT_ONCE: Final = 16  # at one place; each may bring 20 MB


@dataclass(slots=True, eq=False)
class _Lane:
    """What is read at one place. Some wait only while there is no more room."""

    waited_for: dict[LocalChannel, Read] = field(default_factory=dict)  # in order
    looks: dict[LocalChannel, Read] = field(default_factory=dict)
    under_way: int = 0

    def take_out(self, local: LocalChannel) -> bool:
        """It has not begun, and will not. Whether it was waited for."""
        self.looks.pop(local, None)
        return self.waited_for.pop(local, None) is not None


class Reads:
    """The reads of one worker's channels.

    Args:
        done: Told the answer to a ``Read`` by its number; None: it has failed.
    """

    def __init__(
        self, broker: ChannelBroker, done: Callable[[LocalChannel, int, History | None], None]
    ) -> None:
        self._broker = broker
        self._done = done
        self._lanes: dict[Hashable, _Lane] = {}
        self._queued: dict[LocalChannel, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, local: LocalChannel, read: Read) -> None:
        """Read as soon as there is room. It supersedes one of this channel that has not begun."""
        before = self._queued.pop(local, None)
        urgent = before is not None and before.take_out(local)
        place = self._broker.read_at(local.name)
        lane = self._queued[local] = self._lanes.setdefault(place, _Lane())
        (lane.waited_for if urgent or local.machine.waiting else lane.looks)[local] = read
        self._go_on(place, lane)

    async def aclose(self) -> None:
        for local, lane in self._queued.items():
            lane.take_out(local)
        self._queued.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go_on(self, place: Hashable, lane: _Lane) -> None:
        while lane.under_way < AT_ONCE and (queue := lane.waited_for or lane.looks):
            local = next(iter(queue))
            del self._queued[local]
            task = asyncio.create_task(self._read(local, queue.pop(local)), name="channel read")
            lane.under_way += 1
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, place, lane))

    async def _read(self, local: LocalChannel, read: Read) -> None:
        history = None
        try:
            if local.history is not None:
                history = await self._broker.read(local.name, read.after, local.history)
        except Exception as error:
            if not isinstance(error, BrokerUnavailable):
                log.exception("history not read")
        self._done(local, read.number, history)

    def _ended(self, place: Hashable, lane: _Lane, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        lane.under_way -= 1
        if not task.cancelled():
            self._go_on(place, lane)
        if not lane.under_way:
            del self._lanes[place]
