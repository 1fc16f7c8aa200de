"""The link: a numbered, acknowledged way from one worker to another.

Pub/sub loses (a reconnect, a cut output buffer) and repeats (a PUBLISH sent twice to a frozen
server). Between two living workers the link turns that into: every batch once, in order.

- A sender keeps a batch until it is acknowledged. Each batch that leaves, a repeat too, has a
  *serial* of its own that only rises. A receiver reports the highest serial it has heard and which
  numbers it holds. The way from one publisher to one subscriber keeps the order, so whatever left
  before that serial and is not held is lost: that is sent again, and nothing else ever is.
- Silence is no loss. After a silence the sender *polls*: a header without a batch, whose serial
  brings the report that says what is missing. How long a silence is follows the round trip, which
  serials measure without a doubt: a repeat has another one than what it repeats (Karn's rule).
- A report rides on whatever goes back, and goes alone only where nothing does for a while: a long
  one, since of many peers each is answered seldom; a short one where much is to be reported, or
  where an end *hurries*, for it waits to leave.
- A receiver drops repeats, and keeps what comes too early, within a bound, until the rest is here.
- A receiver says how much may be under way to it from this peer: its part of what it allows all of
  its peers together. So they cannot fill the output buffer that Redis holds for it, and repeats
  least of all. What has no room waits at its sender, what was lost before what is new.
- A sender numbers its batches within an *epoch*. An end that gives up the link (its peer was taken
  for dead) begins a new epoch and says which epoch of its peer it has given up. The peer then knows
  that what it had sent is lost, and begins a new epoch too. A batch that is meant for an epoch
  which was given up is stale.

A peer of a version before ``SELECTIVE`` neither keeps what comes early nor reports: everything
unacknowledged is sent to it again after a silence or when it asks, a piece at a time.

Pure: bytes, numbers and monotonic seconds in, batches out. No I/O and no clock.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Final

from gateway.protocol.envelopes.wire import SELECTIVE, Header
from gateway.protocol.fair_share import LEAST_ROOM_BYTES, FairShare
from gateway.protocol.ids import WorkerId
from gateway.protocol.reorder_buffer import ReorderBuffer
from gateway.protocol.retransmit_timer import RetransmitTimer
from gateway.protocol.send_buffer import ENDLESS, FIRST_ROOM_BYTES, SendBuffer

ACK_RIDE_S: Final = 0.25  # with what four patiences make of it less than a silence
ACK_DELAY_S: Final = 0.05
ACK_SOON_BYTES: Final = LEAST_ROOM_BYTES // 4  # then the peer may wait for room
ASK_AGAIN_S: Final = 0.25
TICKS_PER_S: Final = 10_000  # serials are the time since the epoch began
MEASURE_TICKS: Final = 1_000  # between two measurements of the round trip

NO_BODY: Final = b"\xdd\x00\x00\x00\x00"


class Verdict(Enum):
    """What to do with the envelopes of a batch that has arrived."""

    DELIVER = auto()
    REPEAT = auto()  # had it already
    EARLY = auto()  # something before it is missing; ``follow`` brings it, or it comes again
    OUTSIDE = auto()  # not numbered
    STALE = auto()  # from a link that has ended


_DELIVER: Final = Verdict.DELIVER  # looked up once: for every batch, it would be felt


class Link:
    """One worker's end of the link with one peer.

    Not safe for use from several threads. ``now`` is monotonic seconds and never decreases.

    Attributes:
        version: What is spoken on it: the older of what both ends read. See ``set_version``.
        out: What it keeps of what it sends. Append to it what is to leave.
        polls: How often it had to ask after a silence.
        patience: What the round trip makes of silence.
        early: What came before its turn: ``follow`` may have something only if it has runs.
    """

    __slots__ = (
        "_ack_at", "_acked", "_ask_at", "_ask_due", "_began", "_echoed", "_first_epoch",
        "_floor", "_heard", "_holds", "_in_epoch", "_me", "_measure_at", "_poll_at", "_poll_due",
        "_ride_s", "_serial", "_share", "_unreported_bytes", "early", "epoch", "out",
        "patience", "polls", "received", "version",
    )  # fmt: skip

    def __init__(
        self, me: WorkerId, *, version: int, now: float, share: FairShare | None = None
    ) -> None:
        self._me = me
        self._share = share or FairShare()
        self.version = version
        self.polls = 0
        self._ride_s = ACK_RIDE_S
        self.epoch = 0
        self._in_epoch: int | None = None
        self._floor = 0
        self.restart(now)
        self._first_epoch = self.epoch

    def restart(self, now: float) -> None:
        """Give up what is unacknowledged and begin a new epoch.

        Append a batch, if only an empty one, so that the peer learns it.
        """
        # From the clock, so that a link made anew after its object was forgotten is newer too.
        self.epoch = max(self.epoch + 1, int(now * 1000))
        self._floor = max(self._floor, self._in_epoch or 0)
        self._in_epoch = None
        self._begin_sending(now)
        self._begin_receiving()
        self._ack_at: float | None = None
        self._ask_at = 0.0
        self._ask_due = False

    def _begin_sending(self, now: float) -> None:
        self.out = SendBuffer(selective=self.version >= SELECTIVE)
        self._began = now
        self._serial = 0
        self._acked = 0
        self._echoed = 0  # the highest serial that the peer has reported
        self._measure_at = 0  # the serial whose round trip is measured next
        self._poll_at: float | None = None
        self._poll_due = False
        self._holds = False  # the peer has said that it keeps something that came early
        self.patience = RetransmitTimer()

    def _begin_receiving(self) -> None:
        self.received = 0
        self._heard = 0
        self._unreported_bytes = 0
        self.early = ReorderBuffer()

    def set_version(self, version: int) -> None:
        """The peer reads this version and none newer."""
        if self.version != version:
            self.version = version
            self.out.room_bytes = FIRST_ROOM_BYTES if version >= SELECTIVE else ENDLESS

    @property
    def idle(self) -> bool:
        """Nothing is owed in either direction."""
        return not self.out and self._ack_at is None and not self._ask_due

    # Sending

    def leaving(self, now: float) -> list[tuple[Header, Any]]:
        """All that leaves now, in order, each batch with its header, as it was appended.

        What was lost and may go, then what is new; with neither, an acknowledgement, a question or
        a poll goes alone, if one is owed. It is ``NO_BODY`` and outside of the numbering.
        """
        if self._poll_at is not None and now >= self._poll_at:
            self._silence_is_over(now)
        leaving: list[tuple[Header, Any]] = []
        for kept in self.out.leave():
            kept.serial = self._next_serial(now)
            assert kept.body is not None  # those that have arrived do not leave
            leaving.append((self._header(kept.number, kept.serial, now), kept.body))
        if leaving:
            self._poll_due = False  # they bring a report as well
            if self._poll_at is None:
                self._poll_at = now + self.patience.silence_s
        elif self._poll_due:
            self._poll_due = False
            self.polls += 1
            leaving.append((self._header(0, self._next_serial(now), now), NO_BODY))
        elif self._ask_due or (self._ack_at is not None and now >= self._ack_at):
            leaving.append((self._header(0, 0, now), NO_BODY))
        return leaving

    def _next_serial(self, now: float) -> int:
        serial = int((now - self._began) * TICKS_PER_S)
        if serial <= self._serial:
            serial = self._serial + 1
        self._serial = serial
        return serial

    def _header(self, number: int, serial: int, now: float) -> Header:
        """It carries what is owed to the peer."""
        ask, self._ask_due = self._ask_due, False
        heard = self._heard
        held: tuple[int, ...] = ()
        if not self.early.runs:
            self._ack_at = None
            self._unreported_bytes = 0
        elif self._ack_at is not None and now >= self._ack_at:
            self._ack_at, held = None, tuple(self.early.runs)
            self._unreported_bytes = 0
        else:
            heard = 0  # no report: it would be a long one, and not every batch need carry it
        return Header(
            self.version,
            self._me,
            self.epoch,
            number,
            self._in_epoch or -self._floor,
            self.received,
            ask,
            serial,
            heard,
            self._share.room_kib,
            held,
        )

    def nobody(self, now: float) -> None:
        """A PUBLISH reached nobody. That proves nothing, but waiting a full silence is idle."""
        if self.out and self._poll_at is not None:
            self._poll_at = min(self._poll_at, now + self.patience.nobody())

    def interrupted(self, now: float) -> None:
        """The way out was gone and is back: what left last may not have left at all.

        The silence is over, and an acknowledgement goes again. A question need not: the peer polls
        when its own way is back, and we ask when ours in is.
        """
        if self.out:
            self.patience.calm()
            self._poll_at = now
        if self._in_epoch is not None:
            self._ack_at = now

    # Receiving

    def goes_on(self, header: Header) -> bool:
        """Whether both ends are where they were: then nothing is ``lost`` or ``forgotten``."""
        return header.epoch == self._in_epoch and header.ack_epoch == self.epoch

    def lost(self, header: Header) -> bool:
        """Whether the peer has given up our epoch. Then restart, and receive the batch.

        It says so; or it begins anew, and had acknowledged more or held something: it has
        forgotten this link. Not if it has acknowledged nothing: two ends that give each other up
        without having heard of it would do so again and again.
        """
        begins = header.epoch > (self._in_epoch or self._floor)
        if begins and header.ack_epoch in (0, self.epoch):
            return header.ack < self._acked or self._holds
        return -header.ack_epoch >= self.epoch

    def forgotten(self, header: Header) -> bool:
        """Whether the peer speaks on a link that we have forgotten. It must hear from this one.

        Append a batch then, if only an empty one: by its epoch the peer knows what it has ``lost``.
        """
        return 0 < header.ack_epoch < self._first_epoch and not self.out

    def receive(self, header: Header, payload: bytes, now: float) -> Verdict:
        """Account for a batch that has arrived, and say what to do with its envelopes.

        After DELIVER, and once they are delivered, ``follow`` may have more.
        """
        if header.ack_epoch > 0 and header.ack_epoch != self.epoch:
            self._forget_if_forgotten(header)
            return Verdict.STALE
        if header.epoch > (self._in_epoch or self._floor):
            self._in_epoch = header.epoch
            self._begin_receiving()
        if header.epoch != self._in_epoch:
            return Verdict.STALE
        self._settle(header, now)
        self._heard = max(self._heard, header.serial)
        number = header.number
        if number == self.received + 1:
            self.received = number
            self._ask_at = now
            self._unreported_bytes += len(payload)
            much = self._unreported_bytes >= ACK_SOON_BYTES
            ack_at = now + (ACK_DELAY_S if much else self._ride_s)
            if self._ack_at is None or ack_at < self._ack_at:
                self._ack_at = ack_at
            return _DELIVER
        if number == 0:
            if header.serial:
                self._ack_at = now  # a poll
            return Verdict.OUTSIDE
        if number <= self.received or number in self.early:
            self._ack_at = now  # the peer missed our acknowledgement
            return Verdict.REPEAT
        new_gap = self.early.keep(number, payload, self._share.early_bytes)
        soon = now if new_gap else now + ACK_DELAY_S
        self._ack_at = soon if self._ack_at is None else min(self._ack_at, soon)
        if self.version < SELECTIVE and now >= self._ask_at:
            self.ask(now)
        return Verdict.EARLY

    def _forget_if_forgotten(self, header: Header) -> None:
        """Each has forgotten the other, and heard what was said before that. What we acknowledge
        from here on must not be of the epoch that the peer has forgotten.
        """
        if header.ack_epoch < self._first_epoch and header.epoch > (self._in_epoch or 0):
            self._floor = max(self._floor, self._in_epoch or 0)
            self._in_epoch = None
            self._begin_receiving()

    def follow(self) -> list[bytes]:
        """The payloads that had come too early and are in order now. Deliver them."""
        payloads = self.early.take(self.received + 1)
        self.received += len(payloads)
        return payloads

    def hurry(self, now: float) -> None:
        """An end is leaving, and waits until all is acknowledged: be quick from now on."""
        self._ride_s = ACK_DELAY_S
        if self._ack_at is not None:
            self._ack_at = min(self._ack_at, now + ACK_DELAY_S)

    def ask(self, now: float) -> None:
        """Want to be told what left, and sent what is missing: after a gap in the subscription."""
        if self._in_epoch is not None:
            self._ask_due = True
            self._ask_at = now + ASK_AGAIN_S

    def _settle(self, header: Header, now: float) -> None:
        if header.ack_epoch != self.epoch:
            return
        out, ack, heard = self.out, header.ack, header.heard
        if header.room > 0:
            out.room_bytes = header.room << 10
        progress = False
        if self._acked < ack <= out.last_number:
            progress = True
            self._acked = ack
        if heard > self._echoed:
            progress = True
            self._echoed = heard
            if heard >= self._measure_at:
                self._measure_at = heard + MEASURE_TICKS
                self.patience.measured(now - self._began - heard / TICKS_PER_S)
        out.settle(self._acked, heard, header.held)
        if header.held:
            self._holds = True
        if progress:
            silence_s = self.patience.calm()
            self._poll_at = now + silence_s if self.out else None
        if header.ask and self.out:
            self._poll_at = now

    # Time

    def deadline(self) -> float | None:
        """When ``leaving`` will next have something; None while nothing is owed."""
        if self._ask_due or self.out.may_leave:
            return 0.0
        if self._ack_at is None or self._poll_at is None:
            return self._ack_at if self._poll_at is None else self._poll_at
        return min(self._ack_at, self._poll_at)

    def _silence_is_over(self, now: float) -> None:
        self._poll_at = now + self.patience.grow()
        if self.version >= SELECTIVE:
            self._poll_due = True
        else:
            self.out.go_back()
