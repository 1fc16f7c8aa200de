"""The outbox: what one connection is sent with its next write, and whether it takes what it was."""

from __future__ import annotations

from collections.abc import Callable

from gateway.edge.sockets.socket import Socket
from gateway.protocol.receipt import Receipt
from gateway.protocol.run import Run


class Outbox:
    """Frames that collect until they are flushed in one write, and who wants to know of it.

    Attributes:
        empty: Nothing has collected.
        large_until: Where the last large write ends, of the bytes that the socket was given.
        taken: How many frames have been written.
        progress_at: When the socket was last seen to take something.
    """

    __slots__ = (
        "_done", "_payloads", "_runs", "_socket_took", "bytes_waiting", "empty", "large_until",
        "progress_at", "taken",
    )  # fmt: skip

    def __init__(self) -> None:
        self.empty = True
        self._runs: list[Run] = []  # that others are sent as well, and what was sent before those
        self._payloads: list[bytes] = []  # what is sent after them
        self.bytes_waiting = 0
        self.large_until = 0
        self.taken = 0
        self.progress_at = 0.0
        self._socket_took = 0  # bytes, when last looked
        self._done: list[Callable[[Receipt], None]] = []

    def collect(self, payload: bytes, done: Callable[[Receipt], None] | None = None) -> bool:
        """Take a frame; ``done`` is told what became of it. Returns whether it is the first."""
        first = self.empty
        self.empty = False
        self._payloads.append(payload)
        self.bytes_waiting += len(payload)
        if done is not None:
            self._done.append(done)
        return first

    def collect_run(self, run: Run) -> bool:
        """Take the frames of a run. Returns whether they are the first."""
        first = self.empty
        self.empty = False
        self._close_run()
        self._runs.append(run)
        self.bytes_waiting += run.size_bytes
        return first

    def _close_run(self) -> None:
        if self._payloads:
            self._runs.append(Run(self._payloads))
            self._payloads = []

    def write_to(self, socket: Socket) -> int:
        """Write everything that has collected, and say what became of it once that is known.

        Returns:
            How many frames were written.
        """
        if self._runs:
            self._close_run()
            runs, self._runs = self._runs, []
            count = sum(run.count for run in runs)
            known = socket.write_runs(runs)
        else:
            payloads, self._payloads = self._payloads, []
            count = len(payloads)
            known = socket.write(payloads)
        self.empty = True
        self.bytes_waiting = 0
        self.taken += count
        if self._done:
            if known is None:
                self._settle(Receipt.WRITTEN)
            else:
                done, self._done = self._done, []
                known.add_done_callback(lambda receipt: [told(receipt.result()) for told in done])
        return count

    def discard(self) -> None:
        """Nothing of what has collected will be written."""
        self.empty = True
        self._payloads = []
        self._runs = []
        self.bytes_waiting = 0
        self._settle(Receipt.GONE)

    def _settle(self, receipt: Receipt) -> None:
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
