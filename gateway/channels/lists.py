"""Which channels have subscribers at this worker, told to whoever lists those of all workers."""

from __future__ import annotations

import asyncio
import fnmatch
import heapq
import re
from collections.abc import Callable, Iterator
from typing import Final

from gateway.channels.channels import Channels
from gateway.log import get_logger
from gateway.protocol.envelopes.requests_to_owners import ListChannels, Receipted
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt
from gateway.protocol.reports import is_reserved

log = get_logger(__name__)

AT_ONCE: Final = 4  # questions; more are not answered
MAX_LISTED: Final = 1001  # channels, one answer: 256 KB where all have the longest name
SLICE: Final = 5000  # names, about two milliseconds of the loop
EVERYTHING: Final = "*"


class ChannelLists:
    """Answers ``ListChannels``. A worker may have a hundred thousand: not in one turn of the loop.

    Args:
        answer: Takes an answer to the requester; the last argument says that it is no worker.
    """

    def __init__(
        self, channels: Channels, *, answer: Callable[[WorkerId, Receipted, bool], None]
    ) -> None:
        self._channels = channels
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    def asked(self, requester: WorkerId, question: ListChannels) -> None:
        if len(self._tasks) >= AT_ONCE:
            log.warning("channels not listed", at_once=AT_ONCE, requester=requester)
            return
        task = asyncio.create_task(self._list(requester, question), name="list channels")
        self._tasks.add(task)
        task.add_done_callback(self._listed)

    async def _list(self, requester: WorkerId, question: ListChannels) -> None:
        limit = max(0, min(question.limit, MAX_LISTED))
        matches = _matcher(question.pattern)
        names = self._channels.names()
        first: list[str] = []
        for begin in range(0, len(names), SLICE):
            some = (
                name
                for name in names[begin : begin + SLICE]
                if name > question.after
                and matches(name)
                and not is_reserved(name)
                and self._channels.subscribers_of(name)
            )
            first = heapq.nsmallest(limit, _both(first, some))
            await asyncio.sleep(0)
        # With those that have ended meanwhile: the list is to reach as far as it says.
        told = tuple((name, self._channels.subscribers_of(name)) for name in first)
        receipted = Receipted(ConnectionId(""), question.number, Receipt.WRITTEN, channels=told)
        self._answer(requester, receipted, question.unlinked)

    def _listed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("channels not listed", exc_info=error)


def _both(some: list[str], more: Iterator[str]) -> Iterator[str]:
    yield from some
    yield from more


def _matcher(pattern: str) -> Callable[[str], object]:
    if pattern == EVERYTHING:
        return lambda _: True
    return re.compile(fnmatch.translate(pattern)).match
