"""What one WebSocket reads: how much in a turn, what is held back, and to whom it is delivered."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from gateway.close_codes import INTERNAL_ERROR, TOO_MANY_FRAMES
from gateway.edge.sockets.frame_parser import KEPT, Event, ends
from gateway.edge.sockets.keepalive import KeepAlive
from gateway.edge.sockets.server_context import ServerContext, SocketState
from gateway.log import get_logger
from gateway.protocol import frames
from gateway.protocol.rate import counted

log = get_logger(__name__)

FRAMES_PER_SECOND: Final = 1000
_AHEAD: Final = 64  # so many are allowed with one look at the clock


class Reading(KeepAlive):
    """The part of ``GatewayWebSocket`` that is a ``Reader``.

    Attributes:
        frames_per_second: Pings, pongs and fragments that one peer may send; None is no bound. Once
            we have closed, all its frames count.
    """

    __slots__ = (
        "_behind",
        "_farewell",
        "_flowing",
        "_frames_ahead",
        "_frames_at",
        "_held",
        "_paused",
    )

    frames_per_second: int | None = FRAMES_PER_SECOND

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self._farewell: tuple[int, str] | None = None
        self._flowing = False  # a text goes straight to the listener
        self._paused = False  # by whom it is delivered to
        self._behind = False  # in the queue of those who have read more than a turn's worth
        self._held: deque[Event] | None = None
        self._frames_at = 0.0
        self._frames_ahead = 0  # counted in it already

    # What the parser tells

    @property
    def wants_more(self) -> bool:
        return not self._stopped and self._state is not SocketState.ENDED

    def takes_frame(self, count: int = 1) -> bool:
        if self._frames_ahead >= count:
            self._frames_ahead -= count
            return True
        if self._state is SocketState.ENDED:
            return False
        per_second = self.frames_per_second
        if per_second is None:
            if self._state is not SocketState.CLOSING:
                return True
            per_second = FRAMES_PER_SECOND
        count -= self._frames_ahead  # those are counted
        self._frames_ahead = 0
        now = time.monotonic()
        self._frames_at = due = counted(self._frames_at, now, per_second, count)
        if due <= now:
            self._frames_ahead = min(_AHEAD, int((now - due) * per_second))
            self._frames_at += self._frames_ahead / per_second
            return True
        if self._state is SocketState.CLOSING:
            self._leave(linger=True)  # it has got its close frame already
        else:
            self._fail(*TOO_MANY_FRAMES)
        return False

    def on_text(self, text: str) -> None:
        if self._flowing and self._listener is not None:
            self._listener.on_text(text)
        elif self._asgi is not None and self._state is SocketState.OPEN:
            self._asgi.put(text)
        else:
            self.on_event(text)

    def on_event(self, event: Event) -> None:
        """In its turn: at once, or once what was held back before it is delivered."""
        if self._state is SocketState.CLOSING:
            if ends(event):
                self._leave()
            elif isinstance(event, str | bytes):
                self.takes_frame(1 + len(event) // 1024)
        elif self._state is SocketState.OPEN:
            if self._listener is not None and (self._paused or self._held):
                self._held = self._held or deque()
                if not (self._held and ends(self._held[-1])):
                    self._held.append(event)
            else:
                self._handle(event)

    def _handle(self, event: Event) -> None:
        match event:
            case frames.Violation():
                self._fail(event.code, event.reason)
            case (code, reason):
                self._ending = (code, reason)
                self._write(frames.close_frame(*(self._farewell or event)))
                self._leave()
            case str() if self._listener is not None:
                self._listener.on_text(event)
            case bytes() if self._listener is not None:
                self._listener.on_binary()
            case _ if self._asgi is not None:
                self._asgi.put(event)

    # How much, and when

    def _feed(self, data: bytes | memoryview) -> None:
        pool = self._context.parsers
        free = pool.free  # not by a method of its own: this is for every message
        parser, self._parser = self._parser or (free.pop() if free else pool.new()), None
        try:
            rest = parser.feed(self, data)
        except frames.Violation as violation:
            self.on_event(violation)
            return
        if parser.idle:
            if parser.may_have_grown or len(free) >= KEPT:
                pool.give_back(parser)
            else:
                free.append(parser)
        elif self._state is not SocketState.ENDED:
            self._parser = parser
        if rest and self._state is not SocketState.ENDED:
            self._keep(rest)

    def _keep(self, rest: bytes | memoryview) -> None:
        """For a turn to come, or for when it is wanted."""
        self._unread = b"".join((rest, self._unread)) if self._unread else rest
        if not self._stopped:
            self._flowing = False
            self._take_back()
            self._stop()
            if not self._behind:
                # One of all who are behind in each turn of the loop: what they send, they may all
                # wait for, and nobody else.
                self._behind = True
                self._context.backlog.later(self._go_on)

    def _go_on(self) -> None:
        self._behind = False
        if self._stopped:
            self._catch_up()

    def _stop(self) -> None:
        if not self._stopped and not self._transport.is_closing():
            self._stopped = True
            self._ping = None
            self._transport.pause_reading()

    def _catch_up(self) -> None:
        """Deliver what was held back, as far as it is wanted; then read again."""
        held, self._held = self._held, None
        while held and not self._paused and self._state is not SocketState.ENDED:
            event = held.popleft()
            if self._state is not SocketState.OPEN:
                self.on_event(event)
                continue
            try:
                self._handle(event)
            except Exception:  # as picows does with what it parses
                log.exception("listener failed")
                self._fail(*INTERNAL_ERROR)
        if self._state is SocketState.ENDED or self._paused:
            self._held = held or None
            return
        self._flowing = self._state is SocketState.OPEN and self._listener is not None
        stopped, self._stopped = self._stopped, False
        if self._unread:
            data, self._unread = self._unread, b""
            self._feed(data)
        if self._stopped:
            return
        if stopped and not self._transport.is_closing():
            self._transport.resume_reading()

    def _resume_soon(self) -> None:
        self._paused = False
        asyncio.get_running_loop().call_soon(self._catch_up)

    def _rest(self) -> None:
        super()._rest()
        self._flowing = False
        self._frames_ahead = 0
        self._held = None
