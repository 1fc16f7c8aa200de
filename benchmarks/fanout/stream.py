"""What subscribers of one channel hear, checked: each publication once, in its publisher's order.

No I/O and no clock. All subscribers are owed the same, so whoever hears first has its bytes read
and judged, and those of the others are compared with them: a thousand subscribers cost the client
little, and a byte that differs is still found.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9

# In what these are may be something that its receiver must answer, by itself: it is compared with
# nothing. A publication that happens to look like one is only read once more.
_OWN: Final = (b"\x89", b"\x88", b"\x81\x02{}", b"\x81\x012")

# The publications in one message, or None where it is something else.
ReadMessage = Callable[[bytes], list[bytes] | None]


def text_of(channel: str, publisher: int, sequence: int, size_bytes: int) -> str:
    """What is published: it tells by itself where it belongs."""
    return f"{channel.replace(':', '/')}:{publisher}:{sequence}:".ljust(size_bytes, "x")


def frames(heard: bytearray, start: int) -> Iterator[tuple[int, bytes, int]]:
    """Every whole frame from ``start``: its opcode, its payload, and where it ends."""
    while len(heard) >= start + 2:
        length, at = heard[start + 1] & 0x7F, start + 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            length = int.from_bytes(heard[at : at + wide], "big")
            at += wide
        if len(heard) < at + length:
            return
        yield heard[start] & 0x0F, bytes(heard[at : at + length]), at + length
        start = at + length


class Stream:
    """The bytes of one burst, as they were heard from its first publication on, and judged.

    Args:
        sequences: The newest of each publisher before the burst.
        size_bytes: Of each publication.
    """

    def __init__(
        self, read: ReadMessage, channel: str, sequences: Mapping[int, int], size_bytes: int
    ) -> None:
        self.heard = bytearray()
        self.ends: list[int] = []  # of each publication that is right
        self.parsed = 0
        self.faults: Counter[str] = Counter()
        self.own: list[tuple[int, bytes]] = []  # frames that are no publications
        self._read = read
        self._channel = channel
        self._name = channel.replace(":", "/").encode()
        self._newest = dict(sequences)
        self._size_bytes = size_bytes

    def take(self, more: bytes) -> None:
        self.heard += more
        for opcode, payload, end in frames(self.heard, self.parsed):
            found = self._read(payload) if opcode == TEXT else None
            if found is None:
                self.own.append((opcode, payload))
            for text in found or ():
                if fault := self._fault(text):
                    self.faults[fault] += 1
                else:
                    self.ends.append(end)
            self.parsed = end

    def _fault(self, text: bytes) -> str:
        channel, _, rest = text.partition(b":")
        publisher, _, rest = rest.partition(b":")
        sequence = rest.partition(b":")[0]
        if not (publisher.isdigit() and sequence.isdigit()):
            return "altered"
        if channel != self._name:
            return "misrouted"
        expected = self._newest.get(int(publisher), 0) + 1
        if int(sequence) < expected:
            return "doubled"
        if int(sequence) > expected:
            return "lost or reordered"
        if text != text_of(self._channel, int(publisher), expected, self._size_bytes).encode():
            return "altered"
        self._newest[int(publisher)] = expected
        return ""


class Burst:
    """The streams of one burst: one, where every subscriber is told in the same frames."""

    MOST: Final = 32  # whoever is told in other frames than all these is read by itself

    def __init__(
        self, read: ReadMessage, channel: str, sequences: Mapping[int, int], size_bytes: int
    ) -> None:
        self._made = (read, channel, dict(sequences), size_bytes)
        self.streams = [Stream(*self._made)]
        self.alone: list[Stream] = []

    def other(self, heard: bytes) -> Stream:
        """A stream that begins with this, or that goes on with it."""
        for stream in self.streams:
            known = len(stream.heard)
            if stream.heard.startswith(heard) or heard.startswith(stream.heard):
                if known < len(heard):
                    stream.take(heard[known:])
                return stream
        stream = self.private()
        stream.take(heard)
        if len(self.streams) < self.MOST:
            self.streams.append(stream)
            self.alone.remove(stream)
        return stream

    def private(self) -> Stream:
        self.alone.append(Stream(*self._made))
        return self.alone[-1]

    def faults(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for stream in (*self.streams, *self.alone):
            found += stream.faults
        return found


class Hearing:
    """How far one subscriber has got in a burst."""

    def __init__(self, burst: Burst) -> None:
        self.burst = burst
        self.stream = burst.streams[0]
        self._position = 0
        self._delivered = 0

    def begin(self, burst: Burst) -> None:
        """The next burst. Half a frame that is no publication may be left of the one before."""
        rest = bytes(self.stream.heard[self.stream.parsed : self._position])
        self.burst, self.stream = burst, burst.streams[0]
        self._position = self._delivered = 0
        if rest:
            self._part(rest)

    def hear(self, data: bytes) -> int:
        """How many publications this completes."""
        stream, position = self.stream, self._position
        end = position + len(data)
        if stream.heard.startswith(data, position):
            self._position = end
        elif len(stream.heard) <= end and data.startswith(stream.heard[position:]):
            if any(own in data for own in _OWN):
                self._part(data)
            else:
                stream.take(data[len(stream.heard) - position :])
                self._position = end
        elif any(own in data for own in _OWN):
            self._part(data)
        else:
            whole = bytes(stream.heard[:position]) + data
            self.stream = self.burst.other(whole)
            self._position = end
        delivered = bisect_right(self.stream.ends, self._position)
        new, self._delivered = delivered - self._delivered, delivered
        return new

    def _part(self, data: bytes) -> None:
        """From here on it is compared with nobody."""
        whole = bytes(self.stream.heard[: self._position]) + data
        self.stream = self.burst.private()
        self.stream.take(whole)
        self._position = len(whole)
