"""The end of a dead worker's members: each leaves, at least once, and is seen no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.presence.base import Page, PresenceStore
from gateway.protocol.channel_messages import MessageKind, encode, message
from gateway.protocol.ids import WorkerId

log = get_logger(__name__)

AT_ONCE: Final = 200  # leaves in one turn of the loop
PASSES: Final = 5  # what came by a write that was under way is found by the next one


class Presence(Protocol):
    """This worker's members, as they are stored (``gateway.channels.stored_presence``)."""

    async def check(self) -> None: ...

    def seal(self) -> None: ...


class PresenceSweep:
    """Takes away what dead workers leave. Several may sweep the same: then leaves come twice.

    Args:
        tell: Publishes a leave (``ChannelBroker.tell``); done once it is published.
        tells: Whether it is told who leaves a channel.
    """

    def __init__(
        self,
        store: PresenceStore,
        *,
        tell: Callable[[str, bytes], Awaitable[object]],
        tells: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._tell = tell
        self._tells = tells

    async def run(self, worker: WorkerId) -> None:
        """Tell of each member that it has left, and then remove it: whoever goes on after a
        sweeper that died tells it again.

        Raises:
            BrokerUnavailable: Broken off, or not all could be reached: the others have left.
        """
        members = 0
        for _ in range(PASSES):
            found = False
            left: list[BrokerUnavailable] = []
            async for page in self._store.pages_of(worker):
                found = True
                try:
                    await self._store.remove(worker, await self._tell_of(page, left))
                except BrokerUnavailable as error:
                    left.append(error)
                else:
                    members += len(page.members)
            if left:
                raise left[0]
            if not found:
                break
        else:
            # The dead are fenced and write no more. Who is still there goes with the keys, and
            # the rest of the sweep is not to wait for that.
            log.error("presence sweep given up", dead_worker=worker, members=members)
        await self._store.finish(worker)
        if members:
            log.info("presence swept", dead_worker=worker, members=members)

    async def _tell_of(self, page: Page, left: list[BrokerUnavailable]) -> Page:
        """Tell, and return of whom that was done. Who is ``left`` is so for what is added there."""
        told = {channel: self._tells(channel) for channel in page.channels}
        leaving = [(channel, info) for channel, info in page.members if told.get(channel)]
        untold: set[str] = set()
        for start in range(0, len(leaving), AT_ONCE):
            some = leaving[start : start + AT_ONCE]
            ended = await asyncio.gather(
                *(
                    self._tell(channel, message(MessageKind.LEAVE, encode(info)))
                    for channel, info in some
                ),
                return_exceptions=True,
            )
            for (channel, _), error in zip(some, ended, strict=True):
                if isinstance(error, BrokerUnavailable):
                    untold.add(channel)
                    left.append(error)
                elif isinstance(error, BaseException):
                    raise error
        if not untold:
            return page
        return Page(
            [channel for channel in page.channels if channel not in untold],
            [one for one in page.members if one[0] not in untold],
        )
