"""What arrives while a history is read: the newest of it, within bounds. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from gateway.protocol.recovery import MAX_RECOVERED, Publication

MAX_HELD_BYTES: Final = 4 << 20  # of one channel


class HeldPublications:
    """Past ``MAX_RECOVERED`` publications, or ``MAX_HELD_BYTES``, the oldest are let go.

    Nobody is told something wrong for that: who would need them has then not recovered.
    """

    __slots__ = ("_bytes", "_held")

    def __init__(self) -> None:
        self._held: deque[Publication] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Publication]:
        return iter(self._held)

    def append(self, publication: Publication) -> None:
        self._held.append(publication)
        self._bytes += len(publication.payload)
        while len(self._held) > MAX_RECOVERED or self._bytes > MAX_HELD_BYTES:
            self._bytes -= len(self._held.popleft().payload)

    def clear(self) -> None:
        self._held.clear()
        self._bytes = 0
