"""The end of a dead worker's members: each leaves, at least once, and is seen no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from gateway.log import get_logger
from gateway.presence.base import Page, PresenceStore
from gateway.protocol.channel_messages import MessageKind, encode, message
from gateway.protocol.ids import WorkerId

log = get_logger(__name__)

AT_ONCE: Final = 200  # leaves in one turn of the loop
PASSES: Final = 5  # what came by a write that was under way is found by the next one


class Presence(Protocol):
    """This worker's members (``gateway.channels.presence``)."""

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
            BrokerUnavailable: Broken off.
        """
        members = 0
        for _ in range(PASSES):
            found = False
            async for page in self._store.pages_of(worker):
                found = True
                await self._tell_of(page)
                await self._store.remove(worker, page)
                members += len(page.members)
            if not found:
                break
        else:
            # The dead are fenced and write no more. Who is still there goes with the keys, and
            # the rest of the sweep is not to wait for that.
            log.error("presence sweep given up", dead_worker=worker, members=members)
        await self._store.finish(worker)
        if members:
            log.info("presence swept", dead_worker=worker, members=members)

    async def _tell_of(self, page: Page) -> None:
        told = {channel: self._tells(channel) for channel in page.channels}
        leaving = [(channel, info) for channel, info in page.members if told.get(channel)]
        for start in range(0, len(leaving), AT_ONCE):
            await asyncio.gather(*(
                self._tell(channel, message(MessageKind.LEAVE, encode(info)))
                for channel, info in leaving[start : start + AT_ONCE]
            ))  # fmt: skip
