"""What a subscriber of a channel is owed, checked by positions. No I/O and no clock.

A position is an epoch and an offset, and offsets rise by one: from where a subscriber began to the
newest publication each one was delivered to it, once and in order, or declared missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from loadtest.checker import Fault, Heard, Line, read_line

RECOVERABLE: Final = 300  # the most that a gateway sends to who comes back


class Reply(NamedTuple):
    """The answer to a subscription, without its publications."""

    epoch: str
    offset: int
    was_recovering: bool
    recovered: bool
    publications: int


@dataclass(slots=True)
class Books:
    """Sums of one subscriber: ``owed`` comes from positions, the rest was counted one by one."""

    owed: int = 0
    delivered: int = 0
    declared: int = 0
    missing: int = 0

    @property
    def balance(self) -> int:
        """What nothing is known of; 0 in good books."""
        return self.owed - self.delivered - self.declared - self.missing


def publication(channel: str, line: Line) -> str:
    """What is published: it tells by itself where it belongs."""
    return f"{channel} {line.text()}"


class Subscription:
    """Everything that one subscriber heard of one channel, through all of its connections.

    Args:
        history: Publications that the channel keeps; 0: not known.
    """

    def __init__(self, user: str, channel: str, history: int = 0) -> None:
        self.user = user
        self.channel = channel
        self.books = Books()
        self.epoch = ""
        self.offset = 0
        self.begun = False
        self._kept = min(history, RECOVERABLE)
        self._began = 0  # this part of the books: an offset of this epoch
        self._overtaken: set[int] = set()
        self._newest: dict[str, int] = {}  # number of each publisher
        self._skipped: dict[str, set[int]] = {}

    def subscribed(self, reply: Reply) -> Heard:
        """The answer came, its publications are heard next. Judges whether it is the right one."""
        if not self.begun:
            self.begun = True
            self._begin(reply.epoch, reply.offset)
            return Heard()
        if wrong := self._wrong(reply):
            self._settle(self.offset)
            self._begin(reply.epoch, reply.offset)
            return Heard(fault=Fault.UNRECOVERED, detail=f"{self.user}, {self.channel}: {wrong}")
        if not reply.recovered:
            return self._not_recovered(reply)
        return Heard()

    def _wrong(self, reply: Reply) -> str:
        """What can be no answer to who asked for recovery."""
        same = reply.epoch == self.epoch
        if not reply.was_recovering:
            return "the answer says nothing of recovery"
        if reply.recovered:
            return "" if same else "recovered in another epoch"
        if reply.publications:
            return "publications, and not recovered"
        if same and reply.offset < self.offset:
            return f"at offset {reply.offset}, after {self.offset}"
        return ""

    def _not_recovered(self, reply: Reply) -> Heard:
        """A gap was declared. In the same epoch it has a length."""
        if reply.epoch != self.epoch:
            self._settle(self.offset)
            self._begin(reply.epoch, reply.offset)
            return Heard()
        gap = reply.offset - self.offset
        self._lose_overtaken()
        self.books.declared += gap
        self.offset = reply.offset
        self._newest.clear()
        self._skipped.clear()
        if gap <= self._kept:
            return Heard(
                fault=Fault.UNRECOVERED,
                detail=f"{self.user} missed {gap} of {self.channel}, which keeps {self._kept}",
            )
        return Heard()

    def hear(self, channel: str, offset: int, text: str, now_unix_s: float) -> Heard:
        """Judge one publication."""
        line = self._line(text) if channel == self.channel else None
        if line is None:
            return Heard(
                fault=Fault.MISROUTED, detail=f"{self.user} of {self.channel} got {text[:60]!r}"
            )
        detail = f"{self.user} got {self.channel} {offset} ({line.user} {line.number})"
        if offset > self.offset:
            self._overtaken.update(range(self.offset + 1, offset))
            self.offset = offset
        elif offset in self._overtaken:
            self._overtaken.discard(offset)
            self.books.delivered += 1
            return Heard(fault=Fault.OUT_OF_ORDER, detail=f"{detail} after {self.offset}")
        elif offset <= self._began:
            return Heard(fault=Fault.UNASKED, detail=f"{detail}, from before it had subscribed")
        else:
            return Heard(fault=Fault.DOUBLED, detail=f"{detail} again")
        self.books.delivered += 1
        if fault := self._of_publisher(line):
            return Heard(fault=fault, detail=f"{detail} at another offset")
        return Heard(latency_s=max(0.0, now_unix_s - line.due_unix_us / 1e6))

    def _line(self, text: str) -> Line | None:
        channel, _, rest = text.partition(" ")
        return read_line(rest) if channel == self.channel else None

    def _of_publisher(self, line: Line) -> Fault | None:
        """Numbers of one publisher rise; one whose publication was in doubt may leave one out."""
        newest = self._newest.get(line.user)
        if newest is None or line.number > newest:
            if newest is not None:
                skipped = self._skipped.setdefault(line.user, set())
                skipped.update(range(newest + 1, line.number))
            self._newest[line.user] = line.number
            return None
        skipped = self._skipped.get(line.user, set())
        if line.number in skipped:
            skipped.discard(line.number)
            return Fault.OUT_OF_ORDER
        return Fault.DOUBLED

    def lost(self) -> int:
        """The connection or the subscription ended. What was overtaken is missing."""
        return self._lose_overtaken()

    def end(self, top: tuple[str, int] | None) -> int:
        """All is over. ``top`` is the newest position of the channel, where it can be known.

        Returns:
            What is missing, here and now.
        """
        found = self._lose_overtaken()
        newest = self.offset
        if top is not None and top[0] == self.epoch:
            newest = max(newest, top[1])
            found += newest - self.offset
            self.books.missing += newest - self.offset
            self.offset = newest
        if self.begun:
            self._settle(newest)
            self.begun = False
        return found

    def _begin(self, epoch: str, offset: int) -> None:
        self.epoch, self.offset, self._began = epoch, offset, offset
        self._newest.clear()
        self._skipped.clear()

    def _settle(self, newest: int) -> None:
        self._lose_overtaken()
        self.books.owed += newest - self._began

    def _lose_overtaken(self) -> int:
        lost = len(self._overtaken)
        self.books.missing += lost
        self._overtaken.clear()
        return lost
