"""What leaves one connection, at once or collected for one write; and who takes none of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.edge.connection_context import ConnectionContext, ConnectionState
from gateway.edge.outbox import Outbox
from gateway.edge.sessions.base import Session
from gateway.edge.sockets.socket import Socket
from gateway.errors import SlowConsumer
from gateway.log import get_logger
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt
from gateway.protocol.run import Run
from gateway.protocol.write_group import WriteGroup

log = get_logger(__name__)

SHORT_BYTES: Final = 1024  # of one write; ``outbox_bytes`` is never less
SENDS: Final = (ConnectionState.OPEN, ConnectionState.DRAINING)


class Sending:
    """The part of ``ClientConnection`` that sends, in the order of the calls."""

    __slots__ = ("_active_at", "_edge", "_groups", "_outbox", "_session", "_socket", "_state", "id")

    id: ConnectionId

    def __init__(self, edge: ConnectionContext, session: Session, socket: Socket) -> None:
        self._edge = edge
        self._session = session
        self._socket = socket
        self._state = ConnectionState.OPEN
        self._outbox = Outbox()
        # None: nobody else can write to the socket.
        self._groups: list[WriteGroup] | tuple[()] | None = ()
        self._active_at = self._outbox.progress_at = edge.now()

    def on_close(self, code: int, reason: str) -> None:
        """The end of the connection."""
        raise NotImplementedError

    @property
    def taking(self) -> Receipt:
        writable = self._state in SENDS and self._socket.takes_writes
        return Receipt.WRITTEN if writable else Receipt.GONE

    def send(self, payload: bytes) -> None:
        if self._state in SENDS:
            self._collect(payload)

    def send_run(self, run: Run) -> None:
        """Within the call if nothing waits: for one of a thousand, nothing is put off."""
        if self._state not in SENDS:
            return
        outbox, edge = self._outbox, self._edge
        group = run.group
        if group is not None and outbox.empty and self._socket.write_at_once(run):
            count = run.count
            outbox.taken += count
            edge.counters.sent += count
            self._active_at = edge.now()
            if self._groups is not None:
                self._enter(group)
        elif outbox.collect_run(run):
            edge.hub.flush_later(self)

    def send_rest(self, run: Run, taken: int) -> None:
        if not taken:
            self.send_run(run)
        elif self._state in SENDS:
            self._socket.write_rest(run, taken)
            self._outbox.taken += run.count
            self._edge.counters.sent += run.count
            self._active_at = self._edge.now()

    # Groups

    def _enter(self, group: WriteGroup) -> None:
        """From the next run on, if the kernel has taken this one."""
        if self._socket.buffered_bytes or group in (groups := self._groups or []):
            return
        descriptor = self._socket.lend(self.leave_groups)
        if descriptor is None:
            self._groups = None
            return
        self._groups = [*groups, group]
        group.add(self, descriptor)

    def leave_groups(self) -> None:
        for group in list(self._groups or ()):
            group.remove(self.id)

    def left_group(self, group: WriteGroup, frames: int, wrote_at: float) -> None:
        self._groups = [other for other in self._groups or () if other is not group] or ()
        self._outbox.taken += frames
        if frames:
            self._active_at = max(self._active_at, wrote_at)

    def _sent(self) -> tuple[int, float]:
        """How many frames, and when there was something last."""
        count, last = self._outbox.taken, self._active_at
        for group in self._groups or ():
            frames, wrote_at = group.sent(self.id)
            count += frames
            last = max(last, wrote_at) if frames else last
        return count, last

    def push(self, text: str, done: Callable[[Receipt], None]) -> None:
        socket, taking = self._socket, self.taking
        if taking is not Receipt.WRITTEN:
            done(taking)
            return
        payload = self._session.push(text)
        if payload is None:
            done(Receipt.UNREACHABLE)
            return
        waiting = socket.buffered_bytes + self._outbox.bytes_waiting
        if waiting and waiting + len(payload) > self._edge.limits.outbox_bytes:
            done(Receipt.SLOW)
            return
        self._collect(payload, done)

    def flush(self, *, at_once: bool = False) -> bool:
        """Write what has collected. A socket that has too much waiting already is dropped."""
        socket, outbox, edge = self._socket, self._outbox, self._edge
        if (
            outbox.payloads
            and outbox.bytes_waiting <= SHORT_BYTES
            and not outbox.runs
            and socket.write_freely(outbox.payloads)
        ):
            edge.counters.sent += outbox.written_freely()
            self._active_at = edge.now()
            return True
        if outbox.empty or not socket.takes_writes:
            outbox.discard()
            return True
        buffered = socket.buffered_bytes
        if buffered:
            if at_once:
                return False
            waiting = buffered + outbox.bytes_waiting
            if waiting > edge.limits.outbox_bytes and waiting > self._allowed(buffered):
                self._drop_slow("outbox", waiting)
                return True
        elif outbox.bytes_waiting > edge.limits.outbox_bytes:
            outbox.large_until = socket.written_bytes + outbox.bytes_waiting
        edge.counters.sent += outbox.write_to(socket)
        self._active_at = edge.now()
        return True

    def _allowed(self, buffered: int) -> int:
        """So many bytes may wait. More than usual while something large is on its way that was
        written when nothing was: a history of 300 publications is 20 MB, and whoever is dropped
        for what comes behind it would only ask for it again.
        """
        taken = self._socket.written_bytes - buffered
        return self._edge.limits.outbox_bytes + max(0, self._outbox.large_until - taken)

    def _collect(self, payload: bytes, done: Callable[[Receipt], None] | None = None) -> None:
        outbox = self._outbox
        outbox.payloads.append(payload)
        outbox.bytes_waiting += len(payload)
        if done is not None:
            outbox.await_write(done)
        if outbox.empty:
            outbox.empty = False
            self._edge.hub.flush_later(self)

    def _check_taken(self, now: float) -> int:
        """Drop the socket if nothing of what waits has left it for too long.

        Returns:
            How many bytes wait.
        """
        buffered = self._socket.buffered_bytes
        stuck_s = self._outbox.stuck_s(self._socket.written_bytes, buffered, now)
        if stuck_s >= self._edge.limits.stall_s:
            self._drop_slow("stalled", buffered)
        return buffered

    def _drop_slow(self, why: str, waiting_bytes: int) -> None:
        log.warning("slow socket dropped", connection_id=self.id, why=why, bytes=waiting_bytes)
        self.on_close(SlowConsumer.close_code, SlowConsumer.reason)
        self._socket.abort()
