"""Which worker handles a connection: the one with the highest score.

Rendezvous hashing (Thaler and Ravishankar, 1998): every edge with the same set of workers picks the
same one, and when a worker joins or leaves only the connections it gains or loses are moved.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from gateway.protocol.ids import ConnectionId, WorkerId


def pick(connection: ConnectionId, workers: Iterable[WorkerId]) -> WorkerId | None:
    """The worker among ``workers`` for this connection; None when there is none.

    The order of ``workers`` does not matter.
    """
    seed = connection.encode()
    return max(workers, key=lambda worker: (_score(seed, worker), worker), default=None)


def _score(seed: bytes, worker: WorkerId) -> bytes:
    return blake2b(seed, digest_size=8, key=worker.encode()).digest()
