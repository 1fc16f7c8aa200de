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
        payloads: What has collected behind all that others are sent as well.
        runs: That others are sent as well, and what is sent before the last of those.
        large_until: Where the last large write ends, of the bytes that the socket was given.
        taken: How many frames have been written.
        progress_at: When the socket was last seen to take something.
    """

    __slots__ = (
        "_done", "_socket_took", "bytes_waiting", "empty", "large_until", "payloads",
        "progress_at", "runs", "taken",
    )  # fmt: skip

    def __init__(self) -> None:
        self.empty = True
        self.runs: list[Run] = []
        self.payloads: list[bytes] = []
        self.bytes_waiting = 0
        self.large_until = 0
        self.taken = 0
        self.progress_at = 0.0
        self._socket_took = 0  # bytes, when last looked
        self._done: list[Callable[[Receipt], None]] = []

    def await_write(self, done: Callable[[Receipt], None]) -> None:
        """``done`` is told what became of what has collected."""
        self._done.append(done)

    def collect_run(self, run: Run) -> bool:
        """Take the frames of a run. Returns whether they are the first."""
        first = self.empty
        self.empty = False
        self._close_run()
        self.runs.append(run)
        self.bytes_waiting += run.size_bytes
        return first

    def _close_run(self) -> None:
        if self.payloads:
            self.runs.append(Run(self.payloads))
            self.payloads = []

    def write_to(self, socket: Socket) -> int:
        """Write everything that has collected, and say what became of it once that is known.

        Returns:
            How many frames were written.
        """
        if self.runs:
            self._close_run()
            runs, self.runs = self.runs, []
            count = sum(run.count for run in runs)
            known = socket.write_runs(runs)
        else:
            payloads, self.payloads = self.payloads, []
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

    def written_freely(self) -> int:
        """The socket has written ``payloads``, which are all. Returns how many."""
        count = len(self.payloads)
        self.payloads = []
        self.empty = True
        self.bytes_waiting = 0
        self.taken += count
        if self._done:
            self._settle(Receipt.WRITTEN)
        return count

    def discard(self) -> None:
        """Nothing of what has collected will be written."""
        self.empty = True
        self.payloads = []
        self.runs = []
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
