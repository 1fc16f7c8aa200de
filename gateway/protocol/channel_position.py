"""How far a worker has come in a channel: one position, whatever the number of its subscribers.

Everything published to a channel arrives at a worker in one order, so one comparison a publication
finds every gap. What a read says is compared as well, since nothing arrives in a silent channel:
but what was published before the read may be on its way still. It has arrived once something that
was sent after it on the same subscription has come back: then the read is *settled*.

Pure: no I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple


class Position(NamedTuple):
    """A place in a channel's stream. Offsets rise by one within an epoch, and begin with 1.

    A client that names no epoch (an empty one) means the present one.
    """

    epoch: str
    offset: int


class Arrival(Enum):
    """What a publication is that arrives without a break."""

    NEXT = auto()
    KNOWN = auto()  # a read had it before it arrived


class Break(Enum):
    """Why a position no longer holds: positioned subscribers have insufficient state."""

    GAP = auto()  # publications are missing
    OTHER_EPOCH = auto()  # the stream was lost, or had expired
    LOST_TAIL = auto()  # what was published is gone, and its offsets are given out again


@dataclass(frozen=True, slots=True)
class Look:
    """How far the worker had come when it asked for the top of the stream."""

    position: Position | None
    breaks: int


class ChannelPosition:
    """One worker's position in one channel. It is not known at first.

    Attributes:
        position: The last publication that arrived, or that a read has told of.
        breaks: How often it was set anew, because it did not hold.
    """

    __slots__ = ("_doubtful", "_known_to", "_seen", "breaks", "position")

    def __init__(self) -> None:
        self.position: Position | None = None
        self.breaks = 0
        self._known_to: Position | None = None  # from a read; up to it, some may arrive still
        self._seen = 0  # the last of them that has arrived
        self._doubtful = range(0)  # offsets that were given out twice in this epoch

    def arrived(self, at: Position) -> Arrival | Break:
        """Take in a publication that was delivered."""
        position = self.position
        if position is None or (at.epoch == position.epoch and at.offset == position.offset + 1):
            self.position, self._known_to = at, None
            return Arrival.NEXT
        if at.epoch != position.epoch:
            return self._break(at, Break.OTHER_EPOCH)
        if at.offset > position.offset:
            return self._break(at, Break.GAP)
        if self._known_to is not None and (not self._seen or at.offset == self._seen + 1):
            self._seen = at.offset
            if at == self._known_to:
                self._known_to = None
            return Arrival.KNOWN
        self._doubt(at.offset, position.offset)
        return self._break(at, Break.LOST_TAIL)

    def advance(self, epoch: str, offsets: Iterable[int]) -> int:
        """Take in the first of these, as far as each is the next one. Returns how many."""
        position = self.position
        if position is None or position.epoch != epoch:
            return 0
        before = offset = position.offset
        for arrived in offsets:
            if arrived != offset + 1:
                break
            offset = arrived
        if offset != before:
            self.position, self._known_to = Position(epoch, offset), None
        return offset - before

    def look(self) -> Look:
        """To be called before the top is asked for."""
        return Look(self.position, self.breaks)

    def read(self, look: Look, top: Position) -> Break | None:
        """Take in the top of the stream, asked for after ``look``.

        That the worker is behind the top means nothing before the read is settled.
        """
        if self.position is None:
            self._set(top)
            return None
        before = look.position
        if before is None or look.breaks != self.breaks:
            return None  # the position is from after the question, perhaps from after the answer
        if top.epoch != before.epoch:
            found = self._break(top, Break.OTHER_EPOCH)
        elif top.offset < before.offset:
            self._doubt(top.offset + 1, self.position.offset)
            found = self._break(top, Break.LOST_TAIL)
        else:
            return None
        self._set(top)
        return found

    def unsettled(self, top: Position) -> bool:
        """Whether something that was published before this read may be on its way still."""
        position = self.position
        if position is None or position.epoch != top.epoch:
            return False
        return self._known_to == top or position.offset < top.offset

    def settled(self, look: Look, top: Position) -> Break | None:
        """Everything published before the top was read has arrived, or never will."""
        if self._known_to == top:
            self._known_to = None
        position = self.position
        if position is None or look.breaks != self.breaks or position.epoch != top.epoch:
            return None
        return self._break(top, Break.GAP) if position.offset < top.offset else None

    def doubtful(self, since: Position) -> bool:
        """Whether a client that has come so far may hold what was lost, for what came instead."""
        if self.position is None or since.epoch not in ("", self.position.epoch):
            return False
        return since.offset in self._doubtful

    def _set(self, top: Position) -> None:
        self.position = self._known_to = top
        self._seen = 0

    def _break(self, at: Position, why: Break) -> Break:
        if why is Break.OTHER_EPOCH:
            self._doubtful = range(0)
        self.position, self._known_to = at, None
        self.breaks += 1
        return why

    def _doubt(self, first: int, last: int) -> None:
        if self._doubtful:
            first = min(first, self._doubtful.start)
            last = max(last, self._doubtful.stop - 1)
        self._doubtful = range(first, last + 1)
