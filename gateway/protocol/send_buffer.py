"""What one end of a link keeps of what it sends: until it is acknowledged, and where each batch is.

Pure: numbers, serials and bodies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Final

import msgspec

from gateway.protocol.envelopes.wire import Pieces
from gateway.protocol.reorder_buffer import within

FIRST_ROOM_BYTES: Final = 128 << 10  # until the peer has said how much; it may have many peers
MAX_REPEAT_BYTES: Final = 1 << 20  # at a time, to a peer that does not say how much
ENDLESS: Final = 1 << 62


class UnacknowledgedBatch(msgspec.Struct, eq=False):
    """A batch that is not acknowledged. ``body`` is None once the peer is known to have it."""

    number: int
    body: bytes | Pieces | None
    size: int
    serial: int = 0


class SendBuffer:
    """The batches of one epoch. Each is *unsent*, *in flight*, *lost*, or with the peer.

    Args:
        selective: The peer reports what it holds, and how much room it has. If not, there is no
            bound but on what ``go_back`` sends again.

    Attributes:
        kept_bytes: Of all that is not acknowledged.
        last_number: Of the last batch.
        repeats: How many batches have left again.
        room_bytes: So much may be in flight. One batch always may, however large.
    """

    __slots__ = (
        "_flight", "_flight_bytes", "_going_back", "_kept", "_lost", "_unsent",
        "kept_bytes", "last_number", "repeats", "room_bytes",
    )  # fmt: skip

    def __init__(self, *, selective: bool) -> None:
        self.kept_bytes = 0
        self.last_number = 0
        self.repeats = 0
        self._kept: deque[UnacknowledgedBatch] = deque()  # by number, gapless; the unsent last
        self._unsent: deque[UnacknowledgedBatch] = deque()
        self._flight: deque[UnacknowledgedBatch] = deque()  # by serial
        self._flight_bytes = 0
        self._lost: list[tuple[int, UnacknowledgedBatch]] = []  # a heap: the oldest leaves first
        self._going_back = False
        self.room_bytes = FIRST_ROOM_BYTES if selective else ENDLESS

    def __bool__(self) -> bool:
        """Whether anything is not acknowledged."""
        return bool(self._kept)

    @property
    def open(self) -> bool:
        """Whether a batch that is appended now may leave at once."""
        return not self._lost and not self._unsent and self._flight_bytes < self.room_bytes

    @property
    def waiting(self) -> bool:
        """Whether batches wait to leave, or to leave again."""
        return bool(self._lost or self._unsent)

    @property
    def may_leave(self) -> bool:
        """Whether one of them may."""
        if not self.waiting:
            return False
        kept = self._lost[0][1] if self._lost else self._unsent[0]
        return not self._flight_bytes or self._flight_bytes + kept.size <= self.room_bytes

    def append(self, body: bytes | Pieces) -> int:
        """Number a batch. Returns its number."""
        self.last_number += 1
        size = len(body) if isinstance(body, bytes) else sum(map(len, body))
        kept = UnacknowledgedBatch(self.last_number, body, size)
        self._kept.append(kept)
        self._unsent.append(kept)
        self.kept_bytes += kept.size
        return self.last_number

    def leave(self) -> list[UnacknowledgedBatch]:
        """Put all in flight that may be, what was lost before what is new.

        Give each a serial that is higher than all before.
        """
        leaving: list[UnacknowledgedBatch] = []
        while self._lost or self._unsent:
            again = bool(self._lost)
            kept = self._lost[0][1] if again else self._unsent[0]
            arrived = kept.body is None  # after all
            needs = self._flight_bytes and self._flight_bytes + kept.size
            if not arrived and needs > self.room_bytes:
                break
            if again:
                heappop(self._lost)
            else:
                self._unsent.popleft()
            if not arrived:
                self.repeats += again
                self._flight_bytes += kept.size
                self._flight.append(kept)
                leaving.append(kept)
        return leaving

    def settle(self, ack: int, heard: int, held: Sequence[int]) -> None:
        """The peer has all numbers up to ``ack`` and these runs, and heard serials up to ``heard``.

        What left before that, and is not there, cannot arrive any more.
        """
        kept, flight = self._kept, self._flight
        while kept and kept[0].number <= ack:
            done = kept.popleft()
            done.body = None
            self.kept_bytes -= done.size
        while flight and (flight[0].serial <= heard or flight[0].body is None):
            left = flight.popleft()
            self._flight_bytes -= left.size
            if left.body is None:
                continue
            if within(held, left.number):
                left.body = None  # the peer keeps it, and its number until the rest is there
            else:
                heappush(self._lost, (left.number, left))
        if self._going_back and not self._lost:
            self._going_back = False
            self.room_bytes = ENDLESS

    def go_back(self) -> None:
        """Take all that was sent and is not acknowledged for lost; send it piece by piece."""
        self._going_back = True
        self.room_bytes = MAX_REPEAT_BYTES
        self._flight.clear()
        self._flight_bytes = 0
        sent = islice(self._kept, len(self._kept) - len(self._unsent))
        self._lost = [(kept.number, kept) for kept in sent if kept.body is not None]
