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
        return self._bytes_waiting + self.link.unacknowledged_bytes

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

    def due(self, now: float) -> bool:
        """Whether the link itself has something to say by now."""
        deadline = self.link.deadline()
        return deadline is not None and deadline <= now

    def payloads(self, now: float, counters: Counters) -> list[bytes]:
        """What leaves now, in order: what must be repeated, then what has collected.

        Without either an acknowledgement or a question goes alone, if one is owed.
        """
        link = self.link
        repeats = link.repeats(now)
        counters.link_resends += len(repeats)
        numbered = repeats + self.number(now, counters)
        counters.link_batches += len(numbered)
        if numbered:
            return [stamp(link.header(number), body) for number, body in numbered]
        return [stamp(link.header(0), NO_BODY)] if link.owes(now) else []

    def number(self, now: float, counters: Counters) -> list[tuple[int, bytes]]:
        """What has collected becomes batches, which the link keeps until acknowledged."""
        self.touched = False
        items, self._items, self._bytes_waiting = self._items, [], 0
        bodies = [join(chunk) for chunk in _chunks(items)]
        if self.hello:
            self.hello = False
            bodies.insert(0, NO_BODY)
        counters.link_envelopes += len(items)
        return [(self.link.append(body, now), body) for body in bodies]


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
