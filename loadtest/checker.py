"""What a client is owed, checked on one user's transcript. No I/O and no clock.

Every line carries its user, a running number and the time at which it was due, so that an answer
tells by itself whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ANSWER: Final = "Received:"


class Fault(StrEnum):
    """A promise that was broken. Each is a failure of its own name."""

    MISSING = "missing"
    DOUBLED = "doubled"
    MISROUTED = "misrouted"
    OUT_OF_ORDER = "out of order"
    UNASKED = "never asked for"
    FAILED = "answered with an error"
    UNRECOVERED = "kept, and not recovered"
    UNBALANCED = "in no book"


@dataclass(frozen=True, slots=True)
class Line:
    """One message: whose, which, and when it was due (wall clock, for people who read logs)."""

    user: str
    number: int
    due_unix_us: int

    def text(self, size_bytes: int = 0) -> str:
        """As it is sent, filled up to a size."""
        return f"{self.user} {self.number} {self.due_unix_us}".ljust(size_bytes, ".")


def read_line(text: str) -> Line | None:
    """The line in a text, or None when it is none of ours."""
    parts = text.rstrip(".").split(" ")
    if len(parts) != 3 or not (parts[1].isdecimal() and parts[2].isdecimal()):
        return None
    return Line(parts[0], int(parts[1]), int(parts[2]))


@dataclass(frozen=True, slots=True)
class Heard:
    """What one answer was worth: how long it took, or which promise it broke."""

    latency_s: float = 0.0
    fault: Fault | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """What stayed unanswered when a connection ended."""

    missing: int
    in_doubt: int


class Conversation:
    """Everything that one user said and heard, through all of its connections in turn.

    Answers come in order, so one that was overtaken by a later one is either out of order (it comes
    after all) or missing, also when the connection closes before that is known. What is unanswered
    at a close and was not overtaken is in doubt: no promise says that it was handled.
    """

    def __init__(self, user: str) -> None:
        self.user = user
        self._next = 1
        self._first = 1  # of the present connection
        self._unanswered: dict[int, float] = {}
        self._overtaken: dict[int, float] = {}

    @property
    def unanswered(self) -> int:
        return len(self._unanswered)

    def say(self, due_s: float, due_unix_s: float) -> Line:
        """The next line. ``due_s`` is monotonic: latencies count from there."""
        line = Line(self.user, self._next, int(due_unix_s * 1e6))
        self._unanswered[self._next] = due_s
        self._next += 1
        return line

    def hear(self, text: str, now_s: float) -> Heard:
        """Judge one answer."""
        line = read_line(text.removeprefix(ANSWER)) if text.startswith(ANSWER) else None
        if line is None:
            return Heard(fault=Fault.UNASKED, detail=f"{self.user} got {text[:60]!r}")
        if line.user != self.user:
            return Heard(
                fault=Fault.MISROUTED,
                detail=f"{self.user} got line {line.number} of {line.user}",
            )
        return self._own(line.number, now_s)

    def _own(self, number: int, now_s: float) -> Heard:
        if number in self._unanswered:
            self._overtake(number)
            return Heard(latency_s=now_s - self._unanswered.pop(number))
        detail = f"{self.user} got its line {number}"
        if self._overtaken.pop(number, None) is not None:
            return Heard(fault=Fault.OUT_OF_ORDER, detail=f"{detail} after a later one")
        if number >= self._next:
            return Heard(fault=Fault.UNASKED, detail=f"{detail} before it was sent")
        if number < self._first:
            return Heard(fault=Fault.MISROUTED, detail=f"{detail} on a later connection")
        return Heard(fault=Fault.DOUBLED, detail=f"{detail} again")

    def _overtake(self, number: int) -> None:
        while (oldest := next(iter(self._unanswered))) < number:
            self._overtaken[oldest] = self._unanswered.pop(oldest)

    def fail(self, reason: str) -> Heard:
        """Judge an error that came in place of an answer: it is about the oldest line."""
        if not self._unanswered:
            return Heard(fault=Fault.UNASKED, detail=f"{self.user} got the error {reason!r}")
        number = next(iter(self._unanswered))
        del self._unanswered[number]
        return Heard(fault=Fault.FAILED, detail=f"{self.user}, line {number}: {reason}")

    def close(self) -> Left:
        """The connection closed. The next line belongs to the next one."""
        left = Left(missing=len(self._overtaken), in_doubt=len(self._unanswered))
        self._forget()
        return left

    def end(self) -> Left:
        """The time for answers is over, and the connection stands: nothing is in doubt."""
        left = Left(missing=len(self._overtaken) + len(self._unanswered), in_doubt=0)
        self._forget()
        return left

    def _forget(self) -> None:
        self._unanswered.clear()
        self._overtaken.clear()
        self._first = self._next
