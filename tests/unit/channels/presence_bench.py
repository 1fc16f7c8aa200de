"""A worker's members before a store that can stand still, fail and forget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from gateway.channels.presence import ChannelPresence
from gateway.channels.stored_presence import StoredPresence
from gateway.errors import BrokerUnavailable
from gateway.presence.base import MembersLeft, Page, PresenceChange
from gateway.presence.memory import MemoryPresenceStore
from gateway.protocol import channel_messages
from gateway.protocol.channel_messages import ClientInfo, MessageKind
from gateway.protocol.ids import WorkerId
from gateway.settings.namespaces import ChannelOptions
from tests.support.ids import new_worker_id

ANN, BOB = ClientInfo("ann", "a"), ClientInfo("bob", "b")


class Store(MemoryPresenceStore):
    """A store that can stand still, fail and forget."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[PresenceChange]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.away = False
        self.channels_away: set[str] = set()
        self.looked_at: set[str] = set()

    async def write(
        self,
        worker: WorkerId,
        revision: int,
        changes: Sequence[PresenceChange],
        *,
        upon: range | None,
    ) -> bool:
        self.batches.append(list(changes))
        await self.open.wait()
        if self.away:
            raise BrokerUnavailable("away")
        reached = [change for change in changes if change.channel not in self.channels_away]
        written = await super().write(worker, revision, reached, upon=upon)
        if written and len(reached) < len(changes):
            raise MembersLeft("away", {c.channel for c in changes} & self.channels_away)
        return written

    async def look(
        self, worker: WorkerId, revision: int, channels: Sequence[str]
    ) -> Sequence[int | Exception | None]:
        self.looked_at.update(channels)
        found = await super().look(worker, revision, channels)
        return [
            BrokerUnavailable("away") if channel in self.channels_away else count
            for channel, count in zip(channels, found, strict=True)
        ]

    async def pages_of(self, worker: WorkerId) -> AsyncIterator[Page]:
        async for page in super().pages_of(worker):
            if page.channels[0] not in self.channels_away:
                yield page
        if self.channels_away:
            raise BrokerUnavailable("away")

    def forget(self) -> None:
        MemoryPresenceStore.__init__(self)

    def bring_back(self, worker: WorkerId, channel: str, info: ClientInfo) -> None:
        """As where a server takes over that has not heard of its end."""
        self._put(worker, channel, info.client, info)


class Bench:
    """A ``ChannelPresence``, and what stores it, which runs."""

    def __init__(self, options: ChannelOptions) -> None:
        self.me = new_worker_id()
        self.store = Store()
        self.told: list[tuple[str, MessageKind, str]] = []
        self.may_write = True
        self.stored = StoredPresence(self.me, self.store, may_write=lambda: self.may_write)
        self.presence = ChannelPresence(self.stored, options_of=lambda _: options, tell=self._tell)

    def _tell(self, channel: str, payload: bytes) -> None:
        read = channel_messages.read(payload)
        assert read is not None
        who = channel_messages.read_client_info(read.body)
        self.told.append((channel, read.kind, who.client))
