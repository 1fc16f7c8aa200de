"""How one WebSocket ends: what it says, whom it tells, and how long it waits for its peer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.close_codes import LOST
from gateway.edge.sockets.asgi_bridge import AsgiBridge
from gateway.edge.sockets.frame_parser import Parser
from gateway.edge.sockets.server_context import CLOSE_S, ServerContext, SocketState
from gateway.edge.sockets.socket import Listener
from gateway.edge.sockets.timer_wheel import NOWHERE
from gateway.protocol import frames

LINGER_PAUSE_S: Final = 0.02  # between two reads of what nobody wants


class Ending(asyncio.Protocol):
    """The lowest part of ``GatewayWebSocket``: its transport, its state and its end.

    A part, and not an object of its own: a connection that does nothing is to stay small.
    """

    __slots__ = (
        "_asgi", "_back", "_context", "_ending", "_listener", "_parser", "_slot", "_state",
        "_stopped", "_transport", "_unread", "written_bytes",
    )  # fmt: skip

    close_timeout_s = CLOSE_S

    _transport: asyncio.Transport

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._state = SocketState.DECIDING
        self._asgi: AsgiBridge | None = None
        self._listener: Listener | None = None
        self._ending: tuple[int, str] = LOST
        self._slot = NOWHERE
        self._back: Callable[[], None] | None = None  # while others write to the descriptor
        self._stopped = False  # the transport is not read
        self._parser: Parser | None = None
        self._unread: bytes | memoryview = b""
        self.written_bytes = 0

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self.written_bytes += len(data)
            self._transport.write(data)

    def _put_deadline(self, after_s: float | None) -> None:
        timers = self._context.timers
        timers.take(self, self._slot)
        self._slot = timers.put(self, after_s) if after_s else NOWHERE

    def due(self, slot: int) -> None:
        if slot == self._slot:  # else another's deadline, due with this one, has put it off
            self._transport.abort()

    def _fail(self, code: int, reason: str) -> None:
        self._ending = (code, reason)
        self._write(frames.close_frame(code, reason))
        self._leave(linger=True)

    def _leave(self, *, linger: bool = False) -> None:
        """Nothing more is read or written. The transport goes once everything is out.

        Args:
            linger: Wait for the peer to go first. What it sent and nobody read would make the
                kernel reset the connection, and our last frames would be lost with it.
        """
        transport = self._transport
        self._rest()
        if linger and transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()
            if self._stopped:
                transport.resume_reading()
        else:
            transport.close()
        # A peer that does not read, or does not go, would keep the transport for ever.
        self._put_deadline(self.close_timeout_s)
        self._tell(*self._ending)

    def _drop(self) -> None:
        """What a connection that lingers has read. It goes on reading, but never in a hurry."""
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(LINGER_PAUSE_S, self._drop_on)

    def _drop_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _take_back(self) -> None:
        """Nobody else writes to the descriptor from here on."""
        back, self._back = self._back, None
        if back is not None:
            back()

    def _rest(self) -> None:
        self._take_back()
        self._state = SocketState.ENDED
        self._parser = None
        self._unread = b""

    def _tell(self, code: int, reason: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_close(code, reason)
        elif self._asgi is not None:
            self._asgi.disconnected(code, reason)
