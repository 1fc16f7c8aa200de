"""What one connection will be sent with its next write, and whether it takes what was written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.protocol.receipt import Receipt


class Outbox:
    """Frames that collect until they are flushed in one write, and who wants to know of it.

    Attributes:
        taken: How many frames have left it.
        progress_at: When the socket was last seen to take something.
    """

    __slots__ = ("_done", "_socket_took", "bytes_waiting", "payloads", "progress_at", "taken")

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.bytes_waiting = 0
        self.taken = 0
        self.progress_at = 0.0
        self._socket_took = 0  # bytes, when last looked
        self._done: list[Callable[[Receipt], None]] = []

    def collect(self, payload: bytes, done: Callable[[Receipt], None] | None = None) -> bool:
        """Take a frame; ``done`` is told what became of it. Returns whether it is the first."""
        first = not self.payloads
        self.payloads.append(payload)
        self.bytes_waiting += len(payload)
        if done is not None:
            self._done.append(done)
        return first

    def take(self) -> tuple[list[bytes], int]:
        """Everything that has collected, and its size in bytes. ``settle`` comes next."""
        payloads, self.payloads = self.payloads, []
        self.taken += len(payloads)
        size, self.bytes_waiting = self.bytes_waiting, 0
        return payloads, size

    def settle_when(self, known: asyncio.Future[Receipt] | None) -> None:
        """Say what became of what was taken, once it is known; with None it was written."""
        if known is None:
            self.settle(Receipt.WRITTEN)
        elif self._done:
            done, self._done = self._done, []
            known.add_done_callback(lambda receipt: [told(receipt.result()) for told in done])

    def settle(self, receipt: Receipt) -> None:
        """Say what became of what was taken."""
        if self._done:
            done, self._done = self._done, []
            for told in done:
                told(receipt)

    def stuck_s(self, written: int, buffered: int, now: float) -> float:
        """For how long nothing of what waits has left the socket; 0 when nothing waits."""
        took = written - buffered
        if not buffered or took > self._socket_took:
            self._socket_took = took
            self.progress_at = now
        return now - self.progress_at
