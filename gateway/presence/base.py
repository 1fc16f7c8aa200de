"""Who is in a channel, and what may be relied on.

Members belong to the lease of their worker: nothing is refreshed member by member, and what a dead
worker leaves is taken away in its sweep.

Guarantees, proved on every implementation by ``tests/contract/test_presence.py``:

1. What ``write`` was told is seen by every later question.
2. Numbers of clients and users are kept and not counted by reading members; a user with several
   clients is one, and all clients without a user are one together.
3. ``pages_of`` finds every member of a worker, and every channel in which one was to be written.
4. Writing the same twice changes nothing.
5. What a sweep has removed does not come back by a write that was still under way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from gateway.errors import BrokerUnavailable
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.ids import WorkerId

# Keys live for so long after they were written or extended; an outage of an hour still leaves the
# registry's entries, that tell of what was lost, the shorter life.
PRESENCE_S: Final = 7200.0
PAGE: Final = 1000  # members, about


class PresenceChange(NamedTuple):
    """A client of a worker has come into a channel, or has gone (``info`` is None)."""

    channel: str
    client: str
    info: ClientInfo | None


class PresenceStats(NamedTuple):
    clients: int
    users: int


class Page(NamedTuple):
    """Some of the members of one worker, in these channels, of which one may have none."""

    channels: Sequence[str]
    members: Sequence[tuple[str, ClientInfo]]


class MembersLeft(BrokerUnavailable):
    """A write was done but for these channels: of them nobody knows."""

    def __init__(self, why: str, channels: Collection[str]) -> None:
        super().__init__(f"{len(channels)} channels are left: {why}")
        self.channels = channels


class PresenceStore(Protocol):
    """Presence of all workers. Every method raises BrokerUnavailable when it was not done or nobody
    can know.
    """

    async def write(
        self,
        worker: WorkerId,
        revision: int,
        changes: Sequence[PresenceChange],
        *,
        upon: range | None,
    ) -> bool:
        """Carry out changes of a worker's members, in order, and set its revision last.

        A master of a Cluster that does not answer holds up the others for half a second at most.
        One task at a time writes for a worker, and through one store.

        Args:
            revision: A number that was not used before, above all that were. Nobody can know
                whether a write that raised was done, now or later, or in part.
            upon: The revisions that may be there, of which 0 stands for none. None: any.

        Returns:
            False when another revision was there: what was written before may be lost. The changes
            are carried out all the same; the revision stays.

        Raises:
            BrokerRefused: The worker is fenced or has left: nobody would sweep what came now.
            MembersLeft: Those of some channels were not written, or nobody knows; all others were,
                and the revision is set.
        """
        ...

    async def revision(self, worker: WorkerId) -> int | None:
        """What its last write has set. None: there is nothing. -1: what is there is none."""
        ...

    async def look(
        self, worker: WorkerId, revision: int, channels: Sequence[str]
    ) -> Sequence[int | Exception | None]:
        """What a worker has in these channels lives on for ``PRESENCE_S``; and how many there are.

        What somebody has deleted meanwhile is missing in these numbers, and those that others ask
        for are right again once every worker has looked. Never while the worker writes.

        Args:
            revision: What its last write has set.

        Returns:
            For each channel the worker's members there. None: a higher revision is there; if no
            write of this worker has set it, its next one there takes it away. An exception: its
            master was not reached, or has refused.
        """
        ...

    async def members(self, channel: str) -> Mapping[str, ClientInfo]:
        """Everybody in a channel, of every worker, by client.

        Who comes or goes meanwhile may be among them.
        """
        ...

    async def stats(self, channel: str) -> PresenceStats: ...

    def pages_of(self, worker: WorkerId) -> AsyncIterator[Page]:
        """The members of a worker, about ``PAGE`` at a time; some may come twice.

        What is there from the beginning to the end is found; pages may be removed meanwhile.

        Raises:
            BrokerUnavailable: Some were not found. In the end, once all pages were given whose
                masters are reached; what is left is found by asking again.
        """
        ...

    async def remove(self, worker: WorkerId, page: Page) -> None:
        """Take away these members of a dead worker, and its traces in channels without others.

        Raises:
            BrokerUnavailable: Not all. Those whose masters are reached were taken away.
        """
        ...

    async def finish(self, worker: WorkerId) -> None:
        """A worker has no members any more, and will write none: forget its channels."""
        ...

    async def aclose(self) -> None: ...
