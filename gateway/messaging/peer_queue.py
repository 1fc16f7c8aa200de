"""One peer's link, and the envelopes that wait to leave on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from gateway.metrics import Counters
from gateway.protocol.envelopes.wire import (
    LONG_BYTES,
    MAX_BATCH_BYTES,
    Pieces,
    join,
    join_long,
    stamp,
)
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.link import NO_BODY, Link

if TYPE_CHECKING:
    from gateway.messaging.lane import Lane

MAX_UNACKNOWLEDGED_BYTES: Final = 16 << 20  # a link; includes what has not left yet
SMALL_BYTES: Final = 64 << 10  # who is owed no more than this may use the last quarter of it


class Fill(IntEnum):
    """How full a queue is: each state admits fewer than the one before."""

    OPEN = 0  # all
    CROWDED = 1  # in the last quarter before its bound: those alone who are owed little
    FULL = 2  # at its bound: nobody


class PeerQueue:
    """The peer queue: one peer's link, and what waits to leave on it.

    Attributes:
        items: Envelopes that have collected, encoded (``Links.send``).
        bytes_waiting: Of those.
        bytes_kept: Of those and of envelopes that are not acknowledged.
        crowded_bytes: From so many on it is ``CROWDED``.
        touched: Something has been put on it since ``number``.
        hello: The peer must be told of a new epoch before anything else.
        heard_at: When the peer was last heard, or this was made.
        heard: It was heard at all.
        big: Connections with a large answer among what has collected lately.
        lane: By which its batches leave. Whoever sets ``touched`` makes it ready there.
    """

    __slots__ = (
        "_awaited", "big", "bytes_kept", "bytes_waiting", "channel", "crowded_bytes",
        "heard", "heard_at", "hello", "items", "lane", "link", "peer", "touched",
    )  # fmt: skip

    def __init__(self, peer: WorkerId, channel: str, link: Link, now: float) -> None:
        self.lane: Lane
        self.peer = peer
        self.channel = channel
        self.link = link
        self.items: list[bytes] = []
        self.bytes_waiting = 0
        self.bytes_kept = 0
        self.crowded_bytes = MAX_UNACKNOWLEDGED_BYTES - MAX_UNACKNOWLEDGED_BYTES // 4
        self.touched = False
        self.hello = False
        self._awaited: set[Fill] = set()  # somebody waits until it is no fuller than that
        self.heard_at = now
        self.heard = False
        self.big: set[ConnectionId] = set()

    @property
    def fill(self) -> Fill:
        if self.bytes_kept < self.crowded_bytes:
            return Fill.OPEN
        return Fill.CROWDED if self.bytes_kept < MAX_UNACKNOWLEDGED_BYTES else Fill.FULL

    def takes(self, owed_bytes: int) -> bool:
        """Whether it takes more of somebody who has so much on it with that."""
        return self.fill <= _admitting(owed_bytes)

    def await_room(self, owed_bytes: int) -> None:
        """Somebody who has so much on it was told to wait until it is ``relieved``."""
        self._awaited.add(_admitting(owed_bytes))

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._awaited)

    def relieved(self) -> bool:
        """Whether some of those who wait may be let on now. Says so once."""
        if self.big and 4 * self.bytes_kept < MAX_UNACKNOWLEDGED_BYTES:
            self.big.clear()
        if not self._awaited:
            return False
        fill = self.fill
        waiting = {awaited for awaited in self._awaited if fill > awaited}
        eased, self._awaited = len(waiting) < len(self._awaited), waiting
        return eased

    def recount(self) -> None:
        """Something was acknowledged, or became a batch."""
        self.bytes_kept = self.bytes_waiting + self.link.out.kept_bytes

    @property
    def settled(self) -> bool:
        """Nothing waits here, and nothing is owed in either direction."""
        return not self.items and self.link.idle

    def clear(self, now: float) -> None:
        """Drop everything and begin a new epoch."""
        self.items.clear()
        self.bytes_waiting = 0
        self.touched = self.hello = False
        self._awaited.clear()
        self.big.clear()
        self.link.restart(now)
        self.recount()

    @property
    def kept_back(self) -> bool:
        """Whether something waits to leave that was not put on it just now."""
        return self.link.out.waiting or (bool(self.items) and not self.touched)

    def due(self, now: float) -> bool:
        """Whether something is to leave by now that was not put on it just now."""
        if self.items and self.link.out.open:
            return True
        deadline = self.link.deadline()
        return deadline is not None and deadline <= now

    def payloads(self, now: float, counters: Counters) -> list[bytes | Pieces]:
        """What leaves now, in order: what must be repeated, then what has collected.

        Without either an acknowledgement or a question goes alone, if one is owed. While the peer
        has no room for more, what has collected goes on collecting: the batches become larger.
        """
        link = self.link
        out, polls = link.out, link.polls
        if out.open:
            self.number(counters)
        self.touched = False
        repeats = out.repeats
        leaving = link.leaving(now)
        if leaving and leaving[0][0].number:
            counters.link_batches += len(leaving)
        counters.link_resends += out.repeats - repeats
        counters.link_polls += link.polls - polls
        return [
            stamp(header, body) if isinstance(body, bytes) else (stamp(header, body[0]), *body[1:])
            for header, body in leaving
        ]

    def number(self, counters: Counters) -> None:
        """What has collected becomes batches, which the link keeps until acknowledged."""
        self.touched = False
        items, self.items = self.items, []
        size, self.bytes_waiting = self.bytes_waiting, 0
        if self.hello:
            self.hello = False
            self.link.out.append(NO_BODY)
        if size < LONG_BYTES:
            if items:
                self.link.out.append(join(items))
        else:
            for chunk in _chunks(items):
                self.link.out.append(join_long(chunk))
        counters.link_envelopes += len(items)
        self.recount()


def _admitting(owed_bytes: int) -> Fill:
    """The fullest state that admits somebody who is owed so much."""
    return Fill.OPEN if owed_bytes > SMALL_BYTES else Fill.CROWDED


def _chunks(items: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    """Cut a run of envelopes where it would pass ``MAX_BATCH_BYTES``. A larger one goes alone."""
    if sum(map(len, items)) <= MAX_BATCH_BYTES:
        return (items,) if items else ()
    chunks: list[list[bytes]] = []
    size = MAX_BATCH_BYTES + 1
    for item in items:
        if size + len(item) > MAX_BATCH_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(item)
        size += len(item)
    return chunks
