"""The link as it was in envelope version 2, for what the two versions make of each other.

It drops what comes early, and repeats everything unacknowledged after a silence or a question.
``PreviousLink`` has it behind the methods of today's.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from gateway.protocol.envelopes.wire import OLDEST, Header
from gateway.protocol.fair_share import FairShare
from gateway.protocol.ids import WorkerId
from gateway.protocol.link import NO_BODY, Verdict
from gateway.protocol.reorder_buffer import ReorderBuffer

ACK_DELAY_S: Final = 0.05
SILENCE_S: Final = 1.0
LONGEST_SILENCE_S: Final = 4.0
ASK_AGAIN_S: Final = 0.25
NOBODY_S: Final = 0.1
MAX_REPEAT_BYTES: Final = 1 << 20  # at a time; more would only lengthen what made us repeat


class LinkV2:
    """One worker's end of the conversation with one peer.

    Not safe for use from several threads. ``now`` is monotonic seconds and never decreases.
    """

    __slots__ = (
        "_ack_at",
        "_acked",
        "_ask_at",
        "_ask_due",
        "_floor",
        "_in_epoch",
        "_me",
        "_next_number",
        "_nobody_s",
        "_repeat_to",
        "_repeated_to",
        "_resend_at",
        "_silence_s",
        "_unacknowledged",
        "epoch",
        "received",
        "unacknowledged_bytes",
        "version",
    )

    def __init__(self, me: WorkerId, *, version: int, now: float) -> None:
        self._me = me
        self.version = version
        self.epoch = 0
        self._in_epoch: int | None = None
        self._floor = 0
        self._begin(now)

    def _begin(self, now: float) -> None:
        # From the clock, so that a link made anew after its object was forgotten is newer too.
        self.epoch = max(self.epoch + 1, int(now * 1000))
        self._floor = max(self._floor, self._in_epoch or 0)
        self._in_epoch = None
        self.received = 0
        self._next_number = 1
        self._acked = 0
        self._unacknowledged: deque[tuple[int, bytes]] = deque()
        self.unacknowledged_bytes = 0
        self._silence_s = SILENCE_S
        self._nobody_s = NOBODY_S
        self._resend_at: float | None = None
        self._repeat_to = 0  # the last number that was sent when repeating began
        self._repeated_to = 0  # how far it has come
        self._ack_at: float | None = None
        self._ask_at = 0.0
        self._ask_due = False

    def restart(self, now: float) -> None:
        """Give up what is unacknowledged and begin a new epoch.

        Append a batch, if only an empty one, so that the peer learns it.
        """
        self._begin(now)

    @property
    def idle(self) -> bool:
        """Nothing is owed in either direction."""
        return not self._unacknowledged and self._ack_at is None and not self._ask_due

    # Sending

    def take(self, body: bytes, now: float) -> int:
        """Take a batch into the numbering, to be kept until acknowledged. Returns its number."""
        number = self._next_number
        self._next_number += 1
        self._unacknowledged.append((number, body))
        self.unacknowledged_bytes += len(body)
        if self._resend_at is None:
            self._resend_at = now + self._silence_s
        return number

    def stamped(self, number: int) -> Header:
        """The header for a batch that leaves now; it carries what is owed to the peer."""
        ask, self._ask_due = self._ask_due, False
        self._ack_at = None
        return Header(
            self.version,
            self._me,
            self.epoch,
            number,
            self._in_epoch or -self._floor,
            self.received,
            ask,
        )

    def nobody(self, now: float) -> None:
        """A PUBLISH reached nobody. That proves nothing, but waiting a full silence is idle."""
        if self._unacknowledged and self._resend_at is not None:
            self._resend_at = min(self._resend_at, now + self._nobody_s)
            self._nobody_s = min(2 * self._nobody_s, LONGEST_SILENCE_S)

    def interrupted(self, now: float) -> None:
        """The way out was gone and is back: what left last may not have left at all.

        Batches and an acknowledgement go again, at once. A question need not: the peer repeats
        what it has kept when its own way is back, and we ask when ours in is.
        """
        if self._unacknowledged:
            self._silence_s, self._nobody_s = SILENCE_S, NOBODY_S
            self._resend_at = now
        if self._in_epoch is not None:
            self._ack_at = now

    # Receiving

    def lost(self, header: Header) -> bool:
        """Whether the peer has given up our epoch. Then restart, and receive the batch."""
        return header.ack_epoch <= 0 and -header.ack_epoch >= self.epoch

    def account(self, header: Header, now: float) -> Verdict:
        """Account for a batch that has arrived, and say what to do with its envelopes."""
        if header.ack_epoch > 0 and header.ack_epoch != self.epoch:
            return Verdict.STALE
        if header.epoch > (self._in_epoch or self._floor):
            self._in_epoch = header.epoch
            self.received = 0
        if header.epoch != self._in_epoch:
            return Verdict.STALE
        self._settle(header, now)
        if header.number == 0:
            return Verdict.OUTSIDE
        if header.number <= self.received:
            self._ack_at = now  # the peer missed our acknowledgement
            return Verdict.REPEAT
        if header.number > self.received + 1:
            if now >= self._ask_at:
                self.ask(now)
            return Verdict.EARLY
        self.received = header.number
        self._ask_at = now
        if self._ack_at is None:
            self._ack_at = now + ACK_DELAY_S
        return Verdict.DELIVER

    def ask(self, now: float) -> None:
        """Want everything that is missing sent again: after a gap in the subscription, say."""
        if self._in_epoch is not None:
            self._ask_due = True
            self._ask_at = now + ASK_AGAIN_S

    def _settle(self, header: Header, now: float) -> None:
        if header.ack_epoch != self.epoch:
            return
        if header.ack > self._acked:
            self._acked = header.ack
            while self._unacknowledged and self._unacknowledged[0][0] <= header.ack:
                self.unacknowledged_bytes -= len(self._unacknowledged.popleft()[1])
            self._silence_s, self._nobody_s = SILENCE_S, NOBODY_S
            self._resend_at = now + SILENCE_S if self._unacknowledged else None
            if self._repeated_to <= self._acked < self._repeat_to:
                self._resend_at = now  # the rest of what is being repeated
        if header.ask and self._unacknowledged:
            self._resend_at = now

    # Time

    def deadline(self) -> float | None:
        """When ``again`` or ``owes`` will next have something; None while nothing is owed."""
        if self._ask_due:
            return 0.0
        if self._ack_at is None or self._resend_at is None:
            return self._ack_at if self._resend_at is None else self._resend_at
        return min(self._ack_at, self._resend_at)

    def again(self, now: float) -> list[tuple[int, bytes]]:
        """``(number, body)`` of what must be sent again now, each with ``stamped(number)``.

        The oldest first, ``MAX_REPEAT_BYTES`` at a time; the rest follows its acknowledgement.
        """
        if self._resend_at is None or now < self._resend_at:
            return []
        self._silence_s = min(2 * self._silence_s, LONGEST_SILENCE_S)
        self._resend_at = now + self._silence_s
        self._repeat_to = self._next_number - 1
        repeats: list[tuple[int, bytes]] = []
        size = 0
        for number, body in self._unacknowledged:
            size += len(body)
            if repeats and size > MAX_REPEAT_BYTES:
                break
            repeats.append((number, body))
            self._repeated_to = number
        return repeats

    def owes(self, now: float) -> bool:
        """Whether an acknowledgement or a question must go now, alone if nothing else does.

        Alone it is ``NO_BODY`` with ``stamped(0)``.
        """
        return self._ask_due or (self._ack_at is not None and now >= self._ack_at)


class Out:
    """What today's users of a link ask of what it keeps."""

    open = True

    def __init__(self, link: PreviousLink) -> None:
        self._link = link
        self.new: list[tuple[int, bytes]] = []
        self.repeats = 0

    @property
    def waiting(self) -> bool:
        return bool(self.new)

    @property
    def kept_bytes(self) -> int:
        return self._link.unacknowledged_bytes

    def append(self, body: bytes) -> int:
        number = self._link.take(body, self._link.now)
        self.new.append((number, body))
        return number


class PreviousLink(LinkV2):
    """Today's way to use a link."""

    def __init__(
        self,
        me: WorkerId,
        *,
        version: int,
        now: float,
        share: FairShare | None = None,
    ) -> None:
        self.polls = 0
        self.now = now
        self.out = Out(self)
        self.early = ReorderBuffer()  # and nothing in it
        super().__init__(me, version=min(version, OLDEST), now=now)

    def set_version(self, version: int) -> None:
        self.version = min(version, OLDEST)

    def restart(self, now: float) -> None:
        self.out.new.clear()
        super().restart(now)

    def goes_on(self, _header: Header) -> bool:
        return False  # ask the others

    def forgotten(self, _header: Header) -> bool:
        return False

    def deadline(self) -> float | None:
        return 0.0 if self.out.new else super().deadline()

    def leaving(self, now: float) -> list[tuple[Header, bytes]]:
        self.now = now
        repeats = self.again(now)
        self.out.repeats += len(repeats)
        numbered, self.out.new = repeats + self.out.new, []
        if numbered:
            return [(self.stamped(number), body) for number, body in numbered]
        return [(self.stamped(0), NO_BODY)] if self.owes(now) else []

    def receive(self, header: Header, _payload: bytes, now: float) -> Verdict:
        self.now = now
        return self.account(header, now)

    def follow(self) -> list[bytes]:
        return []
