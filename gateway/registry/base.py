"""What a worker needs of the registry, and what it may rely on.

Two things live here. *Leases* say which workers live; ``gateway.protocol.members`` says what to
believe of them. *Entries* list the connections of each worker, for listings, for users and for the
sweep after a death; a question about one connection goes to its owner instead.

Guarantees, proved on every implementation by ``tests/contract/test_registry.py``:

1. Time is the server's. The clocks of hosts never matter.
2. ``renew`` never brings a buried worker back.
3. ``claim`` buries a worker only if its lease has ended, and gives the sweep to one worker at a
   time. A claim ends after ``CLAIM_S``, so a sweeper that dies is replaced.
4. A worker that is buried or has left is known to nobody who looks afterwards, once ``finish`` or
   ``leave`` has returned, and its entries are gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.members import Leases, WorkerInfo

CLAIM_S: Final = 10.0
TOMBSTONE_S: Final = 24 * 3600.0
ENTRIES_S: Final = 3600.0


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the registry says of one connection. ``since_unix_ms`` is its owner's wall clock."""

    user: str | None
    address: str
    user_agent: str
    protocol: str
    since_unix_ms: int


class Registry(Protocol):
    """One per worker; safe to use from several tasks.

    Every method raises BrokerUnavailable when it was not done or nobody can know.
    """

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        """Extend the lease of ``worker``, unless it is buried, and look at all leases."""
        ...

    async def look(self) -> Leases:
        """All leases, without one of one's own: for tools."""
        ...

    async def claim(self, worker: WorkerId) -> bool:
        """Bury ``worker`` if its lease has ended, and take on its sweep for ``CLAIM_S``.

        Returns:
            False when it lives, is being swept by somebody else, or is swept already.
        """
        ...

    async def finish(self, worker: WorkerId) -> None:
        """The sweep of ``worker`` is done: remove its entries and lease. The tombstone stays."""
        ...

    async def leave(self, worker: WorkerId) -> None:
        """``worker`` ends on purpose: remove its entries and its lease, without a tombstone."""
        ...

    async def write(
        self, worker: WorkerId, revision: int, changes: Mapping[ConnectionId, Entry | None]
    ) -> None:
        """Write (or with None remove) entries of ``worker``, and set the revision, as one step."""
        ...

    async def revision(self, worker: WorkerId) -> int | None:
        """The revision of the entries, which live on for ``ENTRIES_S``. None: there are none."""
        ...

    async def rewrite(
        self, worker: WorkerId, revision: int, entries: Sequence[tuple[ConnectionId, Entry]]
    ) -> None:
        """Replace all entries of ``worker``, in chunks: a failover has lost some."""
        ...

    def entries(self, worker: WorkerId) -> AsyncIterator[tuple[ConnectionId, Entry]]:
        """All entries of ``worker``, in no order; one written meanwhile may be missing."""
        ...

    async def aclose(self) -> None: ...
