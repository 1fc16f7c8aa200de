"""Which worker handles a connection: the one before it on a ring.

Consistent hashing (Karger and others, 1997): each worker has many points on a ring of 64 bits, and
a connection belongs to the nearest point before its own. Rings with the same workers are equal,
whatever came and went before; when a worker joins or leaves, only the connections it gains or
loses are moved. A pick is one hash and one search among the points.

The ring is laid segment by segment, as connections ask for them: each worker has one point in each
segment, so that one can be laid without the others. All of them at once would hold the loop for as
long as some hundred messages do.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection
from hashlib import blake2b, shake_128
from struct import Struct
from typing import Final

from gateway.protocol.ids import ConnectionId, WorkerId

POINTS: Final = 256  # of each worker: its share is within some 6 % of the mean, two times of three
MOST_FOLLOWED: Final = 8  # joined or left at once; of more, the segments are laid anew

_PLACE: Final = Struct(">Q")
_SEGMENT_BITS: Final = 56  # of a place; those above say in which segment it is

Segment = tuple["array[int]", list[WorkerId]]


class HashRing:
    """The points of some workers. It follows the set that is asked about, when it is asked."""

    def __init__(self) -> None:
        # The places of a segment's points, in order, and whose they are. Where those of two workers
        # coincide, the worker decides the order.
        self._segments: list[Segment | None] = [None] * POINTS
        self._offsets: dict[WorkerId, bytes] = {}
        self._followed: Collection[WorkerId] = ()

    def pick(self, connection: ConnectionId, workers: Collection[WorkerId]) -> WorkerId | None:
        """The worker among ``workers`` for this connection; None when there is none.

        Their order does not matter. A collection that was asked about before is not looked at
        again: it must not have changed.
        """
        if workers is not self._followed:
            self._follow(workers)
        if not self._offsets:
            return None
        place = int.from_bytes(blake2b(connection.encode(), digest_size=_PLACE.size).digest())
        number = place >> _SEGMENT_BITS
        places, owners = self._segments[number] or self._lay(number)
        at = bisect_right(places, place) - 1
        if at < 0:  # the last of the segment before; before the first is the last
            number = (number - 1) % POINTS
            _, owners = self._segments[number] or self._lay(number)
        return owners[at]

    def _lay(self, number: int) -> Segment:
        points = sorted(
            [(_place(number, offsets), worker) for worker, offsets in self._offsets.items()]
        )
        segment = array("Q", [place for place, _ in points]), [worker for _, worker in points]
        self._segments[number] = segment
        return segment

    def _follow(self, workers: Collection[WorkerId]) -> None:
        joined, left = set(workers) - self._offsets.keys(), self._offsets.keys() - set(workers)
        offsets = {worker: self._offsets.pop(worker) for worker in left}
        offsets |= {worker: _offsets(worker) for worker in joined}
        self._offsets |= {worker: offsets[worker] for worker in joined}
        self._followed = workers
        if len(offsets) > MOST_FOLLOWED:
            self._segments = [None] * POINTS
            return
        for number, segment in enumerate(self._segments):
            if segment is not None:
                for worker in left:
                    _take_out(segment, _place(number, offsets[worker]), worker)
                for worker in joined:
                    _put_in(segment, _place(number, offsets[worker]), worker)


def _put_in(segment: Segment, place: int, worker: WorkerId) -> None:
    places, owners = segment
    at = bisect_right(places, place)
    while at and places[at - 1] == place and owners[at - 1] > worker:
        at -= 1
    places.insert(at, place)
    owners.insert(at, worker)


def _take_out(segment: Segment, place: int, worker: WorkerId) -> None:
    places, owners = segment
    at = owners.index(worker, bisect_left(places, place))
    del places[at], owners[at]


def _offsets(worker: WorkerId) -> bytes:
    """Where its points are in each segment."""
    return shake_128(worker.encode()).digest(POINTS * _PLACE.size)


def _place(number: int, offsets: bytes) -> int:
    offset: int = _PLACE.unpack_from(offsets, number * _PLACE.size)[0]
    return (number << _SEGMENT_BITS) | (offset >> (8 * _PLACE.size - _SEGMENT_BITS))
