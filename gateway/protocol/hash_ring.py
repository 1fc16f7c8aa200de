"""Which worker handles a connection: the nearest one on a ring.

Consistent hashing (Karger and others, 1997), with two probes (Appleton and O'Reilly, 2015): each
worker has a point on each of some rings. A connection belongs to one ring, has two probes on it,
and is handled by the worker whose point is the nearest one to either. Rings with the same workers
are equal, whatever came and went before; when a worker joins or leaves, only the connections it
gains or loses are moved.

What a change of the set costs is points: with one probe, and the point before it, it would take
eight times as many for shares that are as even. A ring is laid when the first of its connections
asks.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection
from hashlib import shake_128
from struct import Struct
from typing import Final
from zlib import crc32

from gateway.protocol.ids import ConnectionId, WorkerId

RINGS: Final = 32  # a worker's share is within some 7 % of the mean, two times of three
MOST_FOLLOWED: Final = 8  # joined or left at once; of more, the rings are laid anew

_LAST_PLACE: Final = (1 << 30) - 1  # of a ring. Integers up to it are sorted fastest.
# The ids of connections are random: a checksum is as good as a hash, and a product (Knuth's) makes
# of it the three numbers that are needed.
_SPREAD: Final = 0x9E3779B97F4A7C15
_POINTS: Final = Struct(f"={RINGS}I")
_ON_RINGS: Final = int.from_bytes(_POINTS.pack(*[_LAST_PLACE] * RINGS))

Ring = tuple["array[int]", list[WorkerId]]


class HashRing:
    """The points of some workers. It follows the set that is asked about, when it is asked."""

    def __init__(self) -> None:
        # The places of a ring's points, in order, and whose they are. Where those of two workers
        # coincide, the worker decides the order.
        self._rings: list[Ring | None] = [None] * RINGS
        self._points: dict[WorkerId, bytes] = {}  # on each ring in turn
        # The same in the order of workers, and as numbers, of one worker after another.
        self._columns: tuple[list[WorkerId], array[int]] | None = None
        self._followed: Collection[WorkerId] = ()

    def pick(self, connection: ConnectionId, workers: Collection[WorkerId]) -> WorkerId | None:
        """The worker among ``workers`` for this connection; None when there is none.

        Their order does not matter. A collection that was asked about before is not looked at
        again: it must not have changed.
        """
        if workers is not self._followed:
            self._follow(workers)
        if not workers:
            return None
        spread = crc32(connection.encode()) * _SPREAD
        number, one, two = (spread >> 60) % RINGS, spread & _LAST_PLACE, spread >> 30 & _LAST_PLACE
        places, owners = self._rings[number] or self._lay(number)
        # Before the first point of a ring is its last one, and behind that the first. Written out:
        # a loop would take half as long again.
        count = len(places)
        behind = bisect_right(places, one)
        nearest, least = behind - 1, (one - places[behind - 1]) & _LAST_PLACE
        if (distance := (places[behind - count] - one) & _LAST_PLACE) < least:
            nearest, least = behind - count, distance
        behind = bisect_right(places, two)
        if (distance := (two - places[behind - 1]) & _LAST_PLACE) < least:
            nearest, least = behind - 1, distance
        if (places[behind - count] - two) & _LAST_PLACE < least:
            nearest = behind - count
        return owners[nearest]

    def _lay(self, number: int) -> Ring:
        if self._columns is None:
            workers = sorted(self._points)
            points = b"".join([self._points[worker] for worker in workers])
            self._columns = workers, array("I", points)
        workers, columns = self._columns
        column = columns[number::RINGS].tolist()
        order = sorted(range(len(column)), key=column.__getitem__)
        places = array("I", [column[at] for at in order])
        ring = self._rings[number] = places, [workers[at] for at in order]
        return ring

    def _follow(self, workers: Collection[WorkerId]) -> None:
        joined, left = set(workers) - self._points.keys(), self._points.keys() - set(workers)
        points = {worker: self._points.pop(worker) for worker in left}
        points |= {worker: _points(worker) for worker in joined}
        self._points |= {worker: points[worker] for worker in joined}
        self._columns = None
        self._followed = workers
        if len(points) > MOST_FOLLOWED:
            self._rings = [None] * RINGS
            return
        gone = [(worker, _POINTS.unpack(points[worker])) for worker in left]
        come = [(worker, _POINTS.unpack(points[worker])) for worker in joined]
        for number, ring in enumerate(self._rings):
            if ring is not None:
                for worker, places in gone:
                    _take_out(ring, places[number], worker)
                for worker, places in come:
                    _put_in(ring, places[number], worker)


def _put_in(ring: Ring, place: int, worker: WorkerId) -> None:
    places, owners = ring
    at = bisect_right(places, place)
    while at and places[at - 1] == place and owners[at - 1] > worker:
        at -= 1
    places.insert(at, place)
    owners.insert(at, worker)


def _take_out(ring: Ring, place: int, worker: WorkerId) -> None:
    places, owners = ring
    at = owners.index(worker, bisect_left(places, place))
    del places[at], owners[at]


def _points(worker: WorkerId) -> bytes:
    """Where its point is on each ring."""
    digest = shake_128(worker.encode()).digest(_POINTS.size)
    return (int.from_bytes(digest) & _ON_RINGS).to_bytes(_POINTS.size)
