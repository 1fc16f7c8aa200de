"""Presence within one process: for `uvicorn gateway.asgi:app`, and for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice

from gateway.errors import BrokerRefused
from gateway.presence.base import PAGE, Page, PresenceChange, PresenceStats
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.ids import WorkerId


class MemoryPresenceStore:
    """``PresenceStore`` in dictionaries. Several workers of one event loop may share one."""

    def __init__(self) -> None:
        self._channels: dict[str, dict[WorkerId, dict[str, ClientInfo]]] = {}
        self._users: dict[str, Counter[str]] = {}  # channel -> user -> clients
        self._listed: dict[WorkerId, dict[str, None]] = {}  # the channels of a worker
        self._revisions: dict[WorkerId, int] = {}
        self._swept: set[tuple[WorkerId, str]] = set()

    async def write(
        self,
        worker: WorkerId,
        revision: int,
        changes: Sequence[PresenceChange],
        *,
        upon: range | None,
    ) -> bool:
        for channel, client, info in changes:
            if (worker, channel) in self._swept:
                raise BrokerRefused(f"not written: {worker} was swept")
            self._put(worker, channel, client, info)
        if upon is not None and self._revisions.get(worker, 0) not in upon:
            return False
        self._revisions[worker] = revision
        return True

    async def revision(self, worker: WorkerId) -> int | None:
        return self._revisions.get(worker)

    async def look(
        self,
        worker: WorkerId,
        revision: int,  # noqa: ARG002 (there are no late writes)
        channels: Sequence[str],
    ) -> Sequence[int | Exception | None]:
        return [len(self._channels.get(channel, {}).get(worker, ())) for channel in channels]

    async def members(self, channel: str) -> Mapping[str, ClientInfo]:
        found: dict[str, ClientInfo] = {}
        for theirs in self._channels.get(channel, {}).values():
            found.update(theirs)
        return found

    async def stats(self, channel: str) -> PresenceStats:
        workers = self._channels.get(channel, {})
        return PresenceStats(sum(map(len, workers.values())), len(self._users.get(channel, ())))

    async def pages_of(self, worker: WorkerId) -> AsyncIterator[Page]:
        for channel in list(self._listed.get(worker, ())):
            theirs = list(self._channels.get(channel, {}).get(worker, {}).values())
            for start in range(0, len(theirs) or 1, PAGE):
                some = islice(theirs, start, start + PAGE)
                yield Page([channel], [(channel, info) for info in some])

    async def remove(self, worker: WorkerId, page: Page) -> None:
        for channel, info in page.members:
            self._put(worker, channel, info.client, None)
        for channel in page.channels:
            if worker not in self._channels.get(channel, {}):
                self._swept.add((worker, channel))
                self._listed.get(worker, {}).pop(channel, None)

    async def finish(self, worker: WorkerId) -> None:
        self._listed.pop(worker, None)
        self._revisions.pop(worker, None)

    async def aclose(self) -> None:
        pass

    def _put(self, worker: WorkerId, channel: str, client: str, info: ClientInfo | None) -> None:
        workers = self._channels.setdefault(channel, {})
        theirs = workers.setdefault(worker, {})
        users = self._users.setdefault(channel, Counter())
        before = theirs.pop(client, None)
        if before is not None:
            users[before.user] -= 1
            if not users[before.user]:
                del users[before.user]
        if info is not None:
            theirs[client] = info
            users[info.user] += 1
        listed = self._listed.setdefault(worker, {})
        if theirs:
            listed[channel] = None
            return
        listed.pop(channel, None)
        del workers[worker]
        if not workers:
            del self._channels[channel], self._users[channel]
