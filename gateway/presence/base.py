"""Who is in a channel, and what may be relied on.

Members belong to the lease of their worker: nothing is refreshed member by member, and what a dead
worker leaves is taken away in its sweep.

Guarantees, proved on every implementation by ``tests/contract/test_presence.py``:

1. What ``write`` was told is seen by every later question.
2. Numbers of clients and users are kept and not counted by reading members; a user with several
   clients is one.
3. ``channels_of`` knows every channel in which a worker may have members: it is written before
   them, and taken away after them.
4. Writing the same twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.ids import WorkerId


class PresenceChange(NamedTuple):
    """A client of a worker has come into a channel, or has gone (``info`` is None)."""

    channel: str
    client: str
    info: ClientInfo | None


class PresenceStats(NamedTuple):
    clients: int
    users: int


class PresenceStore(Protocol):
    """Presence of all workers. Every question raises BrokerUnavailable where nobody can know."""

    async def write(self, worker: WorkerId, changes: Sequence[PresenceChange]) -> None:
        """Carry out changes of a worker's members, in order."""
        ...

    async def members(self, channel: str) -> Mapping[str, ClientInfo]:
        """Everybody in a channel, of every worker, by client."""
        ...

    async def stats(self, channel: str) -> PresenceStats: ...

    async def channels_of(self, worker: WorkerId) -> Sequence[str]: ...

    async def members_of(self, worker: WorkerId, channel: str) -> Sequence[ClientInfo]:
        """The members of one worker."""
        ...

    async def remove_worker(self, worker: WorkerId, channel: str) -> None:
        """Take away all members that a worker has in a channel."""
        ...

    async def aclose(self) -> None: ...
