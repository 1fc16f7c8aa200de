"""The conversation of a connection: its unanswered messages, in order, one worker at a time, with a
bounded number of tries.

The edge keeps one for each of its connections. It decides what may be dispatched now, to which
worker, and which answer is the one that is waited for. Pure: no I/O and no clock.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from gateway.protocol.hooks import HookRequest
from gateway.protocol.ids import WorkerId

MAX_IN_FLIGHT: Final = 32
MAX_IN_FLIGHT_BYTES: Final = 1 << 20
WAITING_BYTES: Final = 64 << 10  # while some of it cannot even be dispatched
MAX_ATTEMPTS: Final = 3


class Event(Enum):
    """What there is to handle."""

    CONNECT = auto()
    MESSAGE = auto()
    DISCONNECT = auto()
    HOOK = auto()
    UNSUBSCRIBE = auto()  # a hook that is owed, and told of an end: it is never abandoned


class Pending(msgspec.Struct, eq=False):
    """One event that waits for its answer.

    A struct for the price of making one, a third of that of a class: it is for every message.

    Attributes:
        text: Of a message; of a disconnect, the reason.
        since: When it was read, in monotonic seconds.
        hook: Of a hook alone.
    """

    number: int
    event: Event
    text: str
    size_bytes: int
    since: float
    close_code: int = 0
    attempt: int = 1
    hook: HookRequest | None = None


class Conversation:
    """The unanswered events of one connection.

    The first are *outstanding*: dispatched to ``worker``. The others *wait*, because nobody may
    handle them now or because they must not overtake an answer of another worker.

    Attributes:
        outstanding: How many.
        waiting: How many.
    """

    __slots__ = (
        "_blamed", "_pending", "_some_spent", "bytes_in_flight", "held", "last_number",
        "outstanding", "waiting", "worker",
    )  # fmt: skip

    def __init__(self) -> None:
        # One short list, not two deques: an empty deque is 600 bytes, and connections are many.
        self._pending: list[Pending] = []
        self.outstanding = 0
        self.waiting = 0
        self.worker: WorkerId | None = None
        self.bytes_in_flight = 0
        self.last_number = 0
        self._blamed: Pending | None = None  # it holds its worker up, as that said
        self._some_spent = False  # perhaps: something behind others has had its last attempt
        self.held = False  # true: dispatch nothing yet

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        """At the bound: the socket must not be read."""
        if len(self._pending) >= MAX_IN_FLIGHT or self.bytes_in_flight >= MAX_IN_FLIGHT_BYTES:
            return True
        return self.waiting > 0 and self.bytes_in_flight > WAITING_BYTES

    @property
    def oldest(self) -> Pending | None:
        """What is to be answered next."""
        return self._pending[0] if self._pending else None

    @property
    def owes_ends(self) -> bool:
        """Whether the application is still to be told of the end of a subscription."""
        return any(pending.event is Event.UNSUBSCRIBE for pending in self._pending)

    @property
    def outstanding_bytes(self) -> int:
        return sum(pending.size_bytes for pending in self._pending[: self.outstanding])

    def read(  # noqa: PLR0917 (by place: names take half as long again, for every message)
        self,
        event: Event,
        text: str,
        size_bytes: int,
        now: float,
        close_code: int = 0,
        attempt: int = 1,
        hook: HookRequest | None = None,
    ) -> None:
        """Take the next event of this connection. It waits until ``release``.

        ``attempt``: which one it begins with, of ``MAX_ATTEMPTS``.
        """
        self.last_number += 1
        self.waiting += 1
        self.bytes_in_flight += size_bytes
        self._pending.append(
            Pending(self.last_number, event, text, size_bytes, now, close_code, attempt, hook)
        )

    def release(self, target: WorkerId | None) -> list[Pending]:
        """What is to be dispatched to ``target`` now, in order; it is outstanding from here on.

        Nothing while another worker owes an answer, while held, or when there is no target.
        ``worker`` is the target whenever anything is returned. What had its last attempt is not
        dispatched again, and nothing that came after it before ``take_spent``.
        """
        if self.held or target is None or not self.waiting:
            return []
        if self.outstanding and self.worker != target:
            return []
        end = self._first_spent() if self._some_spent else len(self._pending)
        released = self._pending[self.outstanding : end]
        if released:
            self.worker = target
            self.outstanding = end
            self.waiting -= len(released)
        return released

    def settle(self, worker: WorkerId, number: int, attempt: int) -> Pending | None:
        """The event that this answer is for, now done; None for any other answer, which is stale.

        Only the worker that was asked last, about the oldest event, on its latest attempt, is
        believed: a worker that was taken for dead may still answer.
        """
        if not self.outstanding or worker != self.worker:
            return None
        head = self._pending[0]
        if head.number != number or head.attempt != attempt:
            return None
        self.outstanding -= 1
        del self._pending[0]  # as ``_drop``, which would be one more call for every message
        self.bytes_in_flight -= head.size_bytes
        if head is self._blamed:
            self._blamed = None
        return head

    def blame(self, worker: WorkerId, number: int, attempt: int) -> None:
        """``worker`` says that this attempt holds it up. If it is given up, that was the last."""
        if worker == self.worker:
            for pending in self._pending[: self.outstanding]:
                if pending.number == number and pending.attempt == attempt:
                    self._blamed = pending

    def take_back(self, worker: WorkerId) -> tuple[int, list[Pending]]:
        """``worker`` is gone: everything it owes waits again, in its old place.

        Any of it may have been started, so each gets a new attempt; but for the one that has held
        its worker up, which would do the same to the next.

        Returns:
            How many events moved, and what ``take_spent`` returns.
        """
        if worker != self.worker:
            return 0, []
        self.worker = None
        moved, self.outstanding = self.outstanding, 0
        self.waiting += moved
        for pending in self._pending[:moved]:
            pending.attempt += 1
            if pending is self._blamed:
                pending.attempt = MAX_ATTEMPTS + 1
                self._some_spent = True
        return moved, self.take_spent()

    def take_spent(self) -> list[Pending]:
        """Take out the oldest that had their last attempt, to be answered with an error.

        Nothing while a worker owes an answer: an error may not overtake it.
        """
        spent = []
        while not self.outstanding and self.waiting and self._pending[0].attempt > MAX_ATTEMPTS:
            spent.append(self._drop_waiting(0))
        return spent

    def expire(self, before: float) -> list[Pending]:
        """Take out what has waited since before ``before``: nobody came to handle it.

        Nothing while a worker owes an answer: an error may not overtake it.
        """
        if self.outstanding:
            return []
        expired = [p for p in self._pending if p.since < before]
        for pending in expired:
            self._drop_waiting(self._pending.index(pending))
        return expired

    def abandon(self) -> None:
        """The socket has gone: what waits is not worth handling, what is outstanding goes on.

        But for the ends of subscriptions, which the application is owed.
        """
        for index in range(len(self._pending) - 1, self.outstanding - 1, -1):
            if self._pending[index].event is not Event.UNSUBSCRIBE:
                self._drop_waiting(index)

    def _first_spent(self) -> int:
        for index, pending in enumerate(self._pending):
            if pending.attempt > MAX_ATTEMPTS:
                return index
        self._some_spent = False
        return len(self._pending)

    def _drop_waiting(self, index: int) -> Pending:
        self.waiting -= 1
        return self._drop(index)

    def _drop(self, index: int) -> Pending:
        pending = self._pending.pop(index)
        self.bytes_in_flight -= pending.size_bytes
        if pending is self._blamed:
            self._blamed = None
        return pending
