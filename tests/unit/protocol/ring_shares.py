"""Which part of all connections each worker of a ring has, by arithmetic."""

from __future__ import annotations

from collections.abc import Collection

from gateway.protocol.hash_ring import RINGS, HashRing
from gateway.protocol.ids import ConnectionId, WorkerId

PLACES = 1 << 30


def shares(workers: Collection[WorkerId]) -> dict[WorkerId, float]:
    """The part that each has, of what would be even.

    A point has what falls into the near half of the gap on either side of it, unless the other
    probe is nearer to its own point: then that one is in a half that is as wide.
    """
    ring = HashRing()
    ring.pick(ConnectionId("c"), workers)
    share = dict.fromkeys(workers, 0)
    for number in range(RINGS):
        places, owners = ring._lay(number)
        behind = [*places[1:], places[0] + PLACES]
        gaps = [there - here for here, there in zip(places, behind, strict=True)]
        halves = [
            *zip(gaps, owners, strict=True),
            *zip(gaps, [*owners[1:], owners[0]], strict=True),
        ]
        # In half places. From one width to the next: how much is so far from its point in all
        # halves, how many are as wide, and how much has one probe in a half, and the other farther.
        farther, wider, width, nearest = 2 * PLACES, len(halves), 0, 0
        for half, owner in sorted(halves):
            step, width = half - width, half
            nearest += 2 * farther * step - wider * step**2
            farther, wider = farther - wider * step, wider - 1
            share[owner] += nearest
    even = RINGS * (2 * PLACES) ** 2 / len(share)
    return {worker: part / even for worker, part in share.items()}
