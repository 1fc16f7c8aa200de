"""Reads of histories: a bounded number at once, those first for which somebody waits.

After a break of the broker's connection every channel is to be compared with its top. Unbounded,
that would be one burst of as many reads as the worker has channels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.channel_broker.base import ChannelBroker
from gateway.channels.local_channel import LocalChannel
from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.protocol.channel_steps import Read
from gateway.protocol.recovery import History

log = get_logger(__name__)

AT_ONCE: Final = 16  # each may bring 20 MB


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
        self._waited_for: dict[LocalChannel, Read] = {}  # in order, the newest of each channel
        self._looks: dict[LocalChannel, Read] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, local: LocalChannel, read: Read) -> None:
        """Read as soon as there is room. It supersedes one of this channel that has not begun."""
        urgent = bool(local.machine.waiting) or self._waited_for.pop(local, None) is not None
        self._looks.pop(local, None)
        (self._waited_for if urgent else self._looks)[local] = read
        self._go_on()

    async def aclose(self) -> None:
        self._waited_for.clear()
        self._looks.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go_on(self) -> None:
        while len(self._tasks) < AT_ONCE and (queue := self._waited_for or self._looks):
            local = next(iter(queue))
            task = asyncio.create_task(self._read(local, queue.pop(local)), name="channel read")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def _read(self, local: LocalChannel, read: Read) -> None:
        history = None
        try:
            if local.history is not None:
                history = await self._broker.read(local.name, read.after, local.history)
        except Exception as error:
            if not isinstance(error, BrokerUnavailable):
                log.exception("history not read")
        self._done(local, read.number, history)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._go_on()
