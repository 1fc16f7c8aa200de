"""One peer's link, and the envelopes that wait to leave on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.metrics import Counters
from gateway.protocol.envelope import MAX_BATCH_BYTES, join, stamp
from gateway.protocol.ids import WorkerId
from gateway.protocol.link import NO_BODY, Link

MAX_UNACKNOWLEDGED_BYTES: Final = 16 << 20  # a link; includes what has not left yet


class Lane:
    """The way to one peer.

    Attributes:
        touched: Something has been put on it since ``number``.
        hello: The peer must be told of a new epoch before anything else.
        was_full: Somebody was told that it is full, and wants to hear when it no longer is.
    """

    __slots__ = (
        "_bytes_waiting", "_items", "channel", "hello", "link", "peer", "touched", "was_full",
    )  # fmt: skip

    def __init__(self, peer: WorkerId, channel: str, link: Link) -> None:
        self.peer = peer
        self.channel = channel
        self.link = link
        self._items: list[bytes] = []
        self._bytes_waiting = 0
        self.touched = False
        self.hello = False
        self.was_full = False

    @property
    def full(self) -> bool:
        """At its bound."""
        return self.bytes_kept >= MAX_UNACKNOWLEDGED_BYTES

    @property
    def bytes_kept(self) -> int:
        """Of envelopes that wait here or are not acknowledged."""
        return self._bytes_waiting + self.link.out.kept_bytes

    @property
    def settled(self) -> bool:
        """Nothing waits here, and nothing is owed in either direction."""
        return not self._items and self.link.idle

    def add(self, item: bytes) -> None:
        """Take one encoded envelope."""
        self._items.append(item)
        self._bytes_waiting += len(item)

    def clear(self, now: float) -> None:
        """Drop everything and begin a new epoch."""
        self._items.clear()
        self._bytes_waiting = 0
        self.touched = self.hello = self.was_full = False
        self.link.restart(now)

    @property
    def kept_back(self) -> bool:
        """Whether something waits to leave that was not put on it just now."""
        return self.link.out.waiting or (bool(self._items) and not self.touched)

    def due(self, now: float) -> bool:
        """Whether something is to leave by now that was not put on it just now."""
        if self._items and self.link.out.open:
            return True
        deadline = self.link.deadline()
        return deadline is not None and deadline <= now

    def payloads(self, now: float, counters: Counters) -> list[bytes]:
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
        return [stamp(header, body) for header, body in leaving]

    def number(self, counters: Counters) -> None:
        """What has collected becomes batches, which the link keeps until acknowledged."""
        self.touched = False
        items, self._items, self._bytes_waiting = self._items, [], 0
        if self.hello:
            self.hello = False
            self.link.out.append(NO_BODY)
        for chunk in _chunks(items):
            self.link.out.append(join(chunk))
        counters.link_envelopes += len(items)


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
