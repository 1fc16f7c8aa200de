"""Which worker handles a connection: the one before it on a ring.

Consistent hashing (Karger and others, 1997): each worker has many points on a ring of 64 bits, and
a connection belongs to the nearest point before its own. Rings with the same workers are equal,
whatever came and went before; when a worker joins or leaves, only the connections it gains or
loses are moved. A pick is one hash and one search among the points.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from hashlib import blake2b, shake_256
from struct import Struct
from typing import Final

from gateway.protocol.ids import ConnectionId, WorkerId

POINTS: Final = 256  # of each worker: its share is within some 6 % of the mean, two times of three

_PLACE_BYTES: Final = 8
_PLACES: Final = Struct(f">{POINTS}Q")
_ARC_BITS: Final = 12


class HashRing:
    """The points of some workers. It follows the set that is asked about, when it is asked."""

    def __init__(self) -> None:
        # In order, in short arcs: a change costs the same however many there are. Where points of
        # two workers coincide, the worker decides the order.
        self._places = [array("Q") for _ in range(1 << _ARC_BITS)]
        self._owners: list[list[WorkerId]] = [[] for _ in range(1 << _ARC_BITS)]
        self._workers: set[WorkerId] = set()
        self._followed: Collection[WorkerId] = ()

    def pick(self, connection: ConnectionId, workers: Collection[WorkerId]) -> WorkerId | None:
        """The worker among ``workers`` for this connection; None when there is none.

        Their order does not matter. A collection that was asked about before is not looked at
        again: it must not have changed.
        """
        if workers is not self._followed:
            self._follow(workers)
        if not self._workers:
            return None
        place = int.from_bytes(blake2b(connection.encode(), digest_size=_PLACE_BYTES).digest())
        arc = _arc(place)
        at = bisect_right(self._places[arc], place) - 1
        while at < 0:  # in an arc before; before the first is the last
            arc -= 1
            at = len(self._owners[arc]) - 1
        return self._owners[arc][at]

    def _follow(self, workers: Collection[WorkerId]) -> None:
        now = set(workers)
        for worker in self._workers - now:
            for place in _places(worker):
                places, owners = self._places[_arc(place)], self._owners[_arc(place)]
                at = owners.index(worker, bisect_left(places, place))
                del places[at], owners[at]
        for worker in now - self._workers:
            for place in _places(worker):
                places, owners = self._places[_arc(place)], self._owners[_arc(place)]
                at = bisect_right(places, place)
                while at and places[at - 1] == place and owners[at - 1] > worker:
                    at -= 1
                places.insert(at, place)
                owners.insert(at, worker)
        self._workers, self._followed = now, workers


def _places(worker: WorkerId) -> Sequence[int]:
    return _PLACES.unpack(shake_256(worker.encode()).digest(_PLACES.size))


def _arc(place: int) -> int:
    return place >> (8 * _PLACE_BYTES - _ARC_BITS)
