"""What a worker needs of the registry, and what it may rely on.

Two things live here. *Leases* say which workers live; ``gateway.protocol.members`` says what to
believe of them. *Entries* list the connections of each worker, for listings, for users and for the
sweep after a death; a question about one connection goes to its owner instead.

Guarantees, proved on every implementation by ``tests/contract/test_registry.py``:

1. Time is the server's. The clocks of hosts never matter.
2. ``renew`` never brings back a worker that is fenced or has left, nor ``write`` its entries,
   however late they come.
3. ``claim`` fences a worker only if its lease has ended, and lets one worker into its sweep each
   ``CLAIM_S``. ``acquire`` gives an entry to one sweeper at a time, for ``CLAIM_S`` from when it
   last extended that: sweepers share the work, and one that dies is replaced.
4. A worker that is fenced or has left is known to nobody who looks afterwards, once ``finish`` or
   ``leave`` has returned, and its entries are gone.
5. An entry is found by its user from the moment at which it is found at all.
6. What was lost of a worker's entries is never hidden by what it writes afterwards.
7. What is found by user or by page belongs to workers that had a lease, and were not fenced, when
   the question was asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from gateway.protocol.envelopes.dispatching import ConnectionFacts
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.leases import Leases, WorkerInfo

MAX_USER_AGENT_BYTES: Final = 256
MAX_ADDRESS_BYTES: Final = 64
MAX_PROTOCOL_BYTES: Final = 64


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the registry says of one connection. ``since_unix_ms`` is its owner's wall clock."""

    user: str | None
    address: str
    user_agent: str
    protocol: str
    since_unix_ms: int

    @property
    def facts(self) -> ConnectionFacts:
        """What the registry keeps of a connection's facts: for listings, and for a sweep."""
        headers = (("user-agent", self.user_agent),) if self.user_agent else ()
        return ConnectionFacts(self.user, self.address, "", headers, ())


def bounded(entry: Entry) -> Entry:
    """The entry as it is stored: facts that a client chooses are cut where they are too long.

    The user is bounded where the application names it, and never cut: a part would be another.
    """
    return msgspec.structs.replace(
        entry,
        address=_cut(entry.address, MAX_ADDRESS_BYTES),
        user_agent=_cut(entry.user_agent, MAX_USER_AGENT_BYTES),
        protocol=_cut(entry.protocol, MAX_PROTOCOL_BYTES),
    )


def _cut(text: str, most: int) -> str:
    """At most so many bytes of UTF-8, and no part of a character."""
    if len(text) <= most and text.isascii():
        return text
    return text.encode(errors="replace")[:most].decode(errors="ignore")


class Backlog(NamedTuple):
    """What a sweep has before it: how many entries, and in how many seconds they are forgotten."""

    entries: int
    expires_s: float


class AcquiredEntry(NamedTuple):
    """What a sweeper acquired, and how many workers died while they had it in a sweep."""

    connection: ConnectionId
    entry: Entry
    deaths: int


class Registry(Protocol):
    """One per worker; safe to use from several tasks.

    Every method raises BrokerUnavailable when it was not done or nobody can know.
    """

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        """Extend the lease of ``worker`` and look at all leases.

        No lease is written for a worker that is fenced or has left.
        """
        ...

    async def look(self) -> Leases:
        """All leases, without one of one's own: for tools."""
        ...

    async def claim(self, worker: WorkerId, seen_end_ms: int) -> bool:
        """Fence ``worker`` if its lease has ended, and join its sweep.

        Args:
            seen_end_ms: When its lease ended, as ``renew`` or ``look`` said. One that it has
                renewed since is not claimed, even if that has ended too: the clock may have
                been set while the claim was under way.

        Returns:
            False when it lives, has renewed, or is swept already, and when somebody joined less
            than ``CLAIM_S`` ago.
        """
        ...

    async def finish(self, worker: WorkerId) -> None:
        """The sweep of ``worker`` is done: remove its entries and lease. It stays fenced."""
        ...

    async def leave(self, worker: WorkerId) -> None:
        """``worker`` ends on purpose: remove its entries and its lease, and fence nothing."""
        ...

    async def fence(self, worker: WorkerId) -> None:
        """Declare ``worker`` dead; its entries stay as they are, for a sweep.

        Nothing is done if it has no lease, or is fenced.
        """
        ...

    async def write(
        self,
        worker: WorkerId,
        revision: int,
        changes: Mapping[ConnectionId, Entry | None],
        *,
        upon: range | None,
    ) -> bool:
        """Write (or with None remove) entries of ``worker``, and set the revision, as one step.

        The ids are those of connections of ``worker``. One task at a time writes for a worker, and
        through one registry, which keeps in mind who its users are.

        Args:
            revision: A number that was not used before, above all that were. Nobody can know
                whether a write that raised was done, now or later; ``upon`` says what may be there.
            upon: The revisions that may be there, of which 0 stands for no entries at all. None:
                whatever is there is removed first, in the same step.

        Returns:
            False when another revision is there, and nothing was written: entries were lost.

        Raises:
            BrokerRefused: The worker is fenced or has left: nobody would sweep what came now.
        """
        ...

    async def acquire(
        self, worker: WorkerId, count: int, *, sweeper: WorkerId, poison: bool
    ) -> list[AcquiredEntry]:
        """Acquire up to ``count`` entries of a dead worker, each once, for ``CLAIM_S``.

        None: all others are acquired, or may be poison: somebody died with them. What its sweeper
        did not extend may be acquired by anybody, also by the same; if that sweeper has died
        meanwhile, it counts.

        Args:
            sweeper: Who acquires them.
            poison: When there is nothing else, acquire one entry that somebody died with, of those
                with the fewest deaths.
        """
        ...

    async def extend(self, worker: WorkerId, connections: Collection[ConnectionId]) -> None:
        """Keep what was acquired for another ``CLAIM_S``."""
        ...

    async def release(
        self, worker: WorkerId, connections: Collection[ConnectionId], *, died: bool = False
    ) -> None:
        """What was acquired is anybody's again. ``died``: whoever ran it for its sweeper has."""
        ...

    async def backlog(self, worker: WorkerId) -> Backlog:
        """What is left of the entries of a dead worker, acquired or not."""
        ...

    async def remove(self, worker: WorkerId, connections: Collection[ConnectionId]) -> None:
        """What a sweep had to do for these connections of a dead worker is done: remove them.

        They stay with their users, who pass over a worker that is fenced.
        """
        ...

    async def revision(self, worker: WorkerId) -> int | None:
        """The revision of the entries, which live on for ``ENTRIES_S``. None: there are none.

        -1 if what is there is no revision.
        """
        ...

    def entries(self, worker: WorkerId) -> AsyncIterator[tuple[ConnectionId, Entry]]:
        """All entries of ``worker``, in no order, each once; one written meanwhile may be
        missing.
        """
        ...

    async def of_user(self, user: str) -> list[tuple[ConnectionId, Entry]]:
        """All connections of ``user``, by worker and the oldest first.

        A connection that ends meanwhile may be in it, and one that comes meanwhile may be missing:
        a send is answered by the owner, with GONE when there is no such connection.
        """
        ...

    async def page(
        self, cursor: str, *, limit: int, worker: WorkerId | None = None
    ) -> tuple[list[tuple[ConnectionId, Entry]], str]:
        """Some of all entries, worker by worker in the order of their ids, and where to go on.

        Args:
            cursor: "" to begin, then what came with the page before. It holds nothing but
                letters, digits and ``-._``, means something to the same kind of registry only,
                and does not expire.
            limit: How many are wanted, 1 or more. A page may hold more, up to some hundreds: Redis
                hands out a small hash as a whole. It holds fewer only if it is the last one.
            worker: Only those of this worker; the same for every page of one walk. None are found
                if it has no lease, or is fenced.

        Returns:
            The entries, none twice in one page; and the next cursor, "" after the last page.

        Raises:
            ValueError: The cursor is not one of this walk, or the limit is below 1; it says why.

        A connection that was there before the walk began and is there after its end is in at least
        one of the pages; in more than one if entries come and go meanwhile. One that comes or goes
        meanwhile may be in it or not. The exception: a walk may miss entries that are written anew
        in between, and any of them when another server takes over in between.
        """
        ...

    async def aclose(self) -> None: ...


def living(leases: Leases) -> list[WorkerId]:
    """The workers with a lease, ended or not, that are not fenced, in the order of their ids."""
    return sorted(worker for worker in leases.workers if worker not in leases.fenced)
