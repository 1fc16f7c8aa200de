"""A WebSocket protocol for uvicorn on picows' parser, with a ``Socket`` for the application.

Also usable under plain uvicorn: ``--ws gateway.edge.picows_websocket:GatewayWebSocket``. An
application that knows the scope's extension ``gateway.socket`` gets its messages by callback, and
may return: the socket stays. Any other is served plain ASGI. Compression is never negotiated.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.edge.asgi_side import AsgiSide, make_scope
from gateway.edge.parser import Event, Parser, ends
from gateway.edge.server_parts import CLOSE_S, State, parts_of
from gateway.edge.socket import EXTENSION, Listener
from gateway.edge.upgrade import Refused, read_request, response
from gateway.edge.wheel import NOWHERE
from gateway.log import get_logger
from gateway.protocol import frames

log = get_logger(__name__)

LOST: Final = 1006
INTERNAL_ERROR: Final = 1011
RESTART: Final = (1012, "service restart")


class GatewayWebSocket(asyncio.Protocol):
    """``Socket`` and uvicorn protocol in one object, small while nothing happens."""

    __slots__ = (
        "_app_state", "_asgi", "_clogged", "_ending", "_farewell", "_flowing", "_held", "_listener",
        "_parser", "_parts", "_paused", "_ping", "_pong", "_server", "_slot", "_state", "_stopped",
        "_transport", "_unread", "written_bytes",
    )  # fmt: skip

    close_timeout_s = CLOSE_S

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._parts = parts_of(server_state, config)
        self._server = server_state
        self._app_state: dict[str, Any] | None = app_state
        self._state = State.DECIDING
        self._asgi: AsgiSide | None = None
        self._listener: Listener | None = None
        self._farewell: tuple[int, str] | None = None
        self._ending: tuple[int, str] = (LOST, "")
        self._parser: Parser | None = None
        self._flowing = False  # a text goes straight to the listener
        self._paused = False  # by whom it is delivered to
        self._stopped = False  # the transport is not read
        self._held: deque[Event] | None = None
        self._unread = b""
        self._ping: bytes | None = None  # what the awaited pong must say
        self._pong: bytes | None = None  # what is to be said once there is room again
        self._clogged = False  # the transport wants nothing more for now
        self._slot = NOWHERE
        self.written_bytes = 0

    # Socket

    @property
    def buffered_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def start(self, listener: Listener, *, farewell: tuple[int, str]) -> None:
        asgi, self._asgi = self._asgi, None
        if asgi is None or self._state is State.DECIDING:
            raise RuntimeError("a socket is started once, after the handshake")
        messages = asgi.take()
        self._listener, self._farewell = listener, farewell
        if self._state is State.ENDED:
            self._tell(*self._ending)
            return
        # A client must wait for the 101 (RFC 6455 section 4.1). Of one that did not, what was read
        # while the application decided is answered all the same.
        self._held = deque(messages) if messages else None
        self._paused = False
        self._catch_up()

    @property
    def takes_writes(self) -> bool:
        if self._state is not State.OPEN or self._transport.is_closing():
            return False
        return self._flowing or not self._held or not ends(self._held[-1])

    def write(self, payloads: Sequence[bytes]) -> None:
        if self._transport.is_closing() if self._flowing else not self.takes_writes:
            return
        if sum(map(len, payloads)) <= frames.CHUNK_BYTES:
            written = frames.text_frames(payloads)  # not by ``_write``: this is for every message
            self.written_bytes += len(written)
            self._transport.write(written)
        else:
            for chunk in frames.text_chunks(payloads):
                self._write(chunk)

    def pause_reading(self) -> None:
        if self._state is not State.OPEN:
            return
        self._paused = True
        self._flowing = False
        self._stop()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._catch_up)

    def close(self, code: int, reason: str) -> None:
        if self._state is not State.OPEN:
            return
        if self._held and ends(self._held[-1]):
            self._handle(self._held[-1])  # the peer was first
            return
        self._state = State.CLOSING
        self._ending = (code, reason)
        self._flowing = self._paused = False
        self._write(frames.close_frame(code, reason))
        self._put_deadline(self.close_timeout_s)
        self._catch_up()  # the peer's close may be among what was held back

    def abort(self) -> None:
        self._transport.abort()

    # For the application's side

    def accepted(self, answer: bytes) -> None:
        if self._state is State.DECIDING:
            self._state = State.OPEN
            self._write(answer)
            self._put_deadline(self._parts.ping_interval_s)
            self._catch_up()

    def answered(self, answer: bytes) -> None:
        if self._state is State.DECIDING:
            self._write(answer)
            self._leave()

    def send(self, frame: bytes) -> None:
        if self._state is State.OPEN:
            self._write(frame)

    def returned(self, *, failed: bool) -> None:
        if self._state is State.DECIDING:
            self.answered(response(500, [], b"Internal Server Error"))
        elif failed:
            self.close(INTERNAL_ERROR, "internal error")
        elif self._asgi is not None:
            self.close(1000, "")
        self._asgi = None

    # asyncio's and uvicorn's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(cast(Any, self))

    def data_received(self, data: bytes) -> None:
        if self._flowing:
            self._feed(data)
        elif self._app_state is not None:
            self._begin(data)
        elif self._state is State.ENDED:
            return
        elif self._stopped or self._state is State.DECIDING:
            self._unread += data
            self._stop()
        else:
            self._feed(data)

    def pause_writing(self) -> None:
        self._clogged = True
        if self._asgi is not None:
            self._asgi.pause_writing()

    def resume_writing(self) -> None:
        self._clogged = False
        pong, self._pong = self._pong, None
        if pong is not None:
            self.on_ping(pong)
        if self._asgi is not None:
            self._asgi.resume_writing()

    def eof_received(self) -> None:
        self._leave()  # a transport alone would wait for ever for one that does not read

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.connections.discard(cast(Any, self))
        self._parts.wheel.take(self, self._slot)
        self._slot = NOWHERE
        self._rest()
        self._tell(*self._ending)

    def shutdown(self) -> None:
        """End at once, with a word about it."""
        if self._state is State.DECIDING:
            self.answered(response(503, [(b"retry-after", b"1")], b"shutting down"))
        elif self._state is State.OPEN:
            self._ending = RESTART
            self._write(frames.close_frame(*RESTART))
        self._leave()

    # Deadlines

    def due(self, slot: int) -> None:
        if slot != self._slot:
            return  # another's deadline, due with this one, has put it off
        if self._state is not State.OPEN:
            self._transport.abort()
            return
        parts = self._parts
        interval_s, timeout_s = parts.ping_interval_s, parts.ping_timeout_s
        if self._stopped:
            self._ping = None  # pongs are not read either, so their absence says nothing
            self._put_deadline(interval_s)
        elif self._ping is None or not timeout_s:
            self._ping = slot.to_bytes(8, "big")
            self._write(frames.header(frames.PING, 8) + self._ping)
            self._put_deadline(timeout_s or interval_s)
        else:
            self._fail(INTERNAL_ERROR, "keepalive ping timeout")

    def _put_deadline(self, after_s: float | None) -> None:
        wheel = self._parts.wheel
        wheel.take(self, self._slot)
        self._slot = wheel.put(self, after_s) if after_s else NOWHERE

    def _begin(self, head: bytes) -> None:
        """The upgrade request, whole, as uvicorn hands it on."""
        app_state, self._app_state = self._app_state, None
        try:
            upgrade = read_request(head)
        except Refused as refused:
            self.answered(refused.response)
            return
        scope = make_scope(upgrade, self._transport, self._parts.config)
        scope["state"] = dict(app_state or {})
        scope["extensions"][EXTENSION] = self
        asgi = self._asgi = AsgiSide(self, scope, upgrade, self._server.default_headers)
        application, tasks = self._parts.config.loaded_app, self._server.tasks
        self._parts.turnstile.enter(lambda: asgi.start(application, tasks))

    # Reading

    @property
    def wants_more(self) -> bool:
        return not self._stopped and self._state is not State.ENDED

    def on_text(self, text: str) -> None:
        if self._flowing and self._listener is not None:
            self._listener.on_text(text)
        elif self._asgi is not None and self._state is State.OPEN:
            self._asgi.put(text)
        else:
            self.on_event(text)

    def on_event(self, event: Event) -> None:
        """In its turn: at once, or once what was held back before it is delivered."""
        if self._state is State.CLOSING:
            if ends(event):
                self._leave()
        elif self._state is State.OPEN:
            if self._listener is not None and (self._paused or self._held):
                self._held = self._held or deque()
                if not (self._held and ends(self._held[-1])):
                    self._held.append(event)
            else:
                self._handle(event)

    def on_ping(self, payload: bytes) -> None:
        if self._clogged:
            self._pong = payload  # the latest will do (RFC 6455 section 5.5.3), a flood would not
        elif self._state is State.OPEN:
            self._write(frames.header(frames.PONG, len(payload)) + payload)

    def on_pong(self, payload: bytes) -> None:
        if payload == self._ping and self._state is State.OPEN:
            self._ping = None
            self._put_deadline(self._parts.ping_interval_s)

    def _feed(self, data: bytes) -> None:
        parsers = self._parts.parsers
        parser, self._parser = self._parser or parsers.borrow(), None
        try:
            rest = parser.feed(self, data)
        except frames.Violation as violation:
            self.on_event(violation)
            return
        if parser.idle:
            parsers.give_back(parser)
        elif self._state is not State.ENDED:
            self._parser = parser
        if rest and self._state is not State.ENDED:
            self._unread = rest + self._unread

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

    # The end

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

    def _rest(self) -> None:
        self._state = State.ENDED
        self._flowing = False
        self._held = self._parser = None
        self._unread = b""

    def _tell(self, code: int, reason: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_close(code, reason)
        elif self._asgi is not None:
            self._asgi.disconnected(code, reason)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self.written_bytes += len(data)
            self._transport.write(data)

    # What is not read yet

    def _stop(self) -> None:
        if not self._stopped and not self._transport.is_closing():
            self._stopped = True
            self._ping = None
            self._transport.pause_reading()

    def _catch_up(self) -> None:
        """Deliver what was held back, as far as it is wanted; then read again."""
        held, self._held = self._held, None
        while held and not self._paused and self._state is not State.ENDED:
            event = held.popleft()
            if self._state is not State.OPEN:
                self.on_event(event)
                continue
            try:
                self._handle(event)
            except Exception:  # as picows does with what it parses
                log.exception("listener failed")
                self._fail(INTERNAL_ERROR, "internal error")
        if self._state is State.ENDED or self._paused:
            self._held = held or None
            return
        self._flowing = self._state is State.OPEN and self._listener is not None
        stopped, self._stopped = self._stopped, False
        if self._unread:
            data, self._unread = self._unread, b""
            self._feed(data)
        if self._stopped:
            return
        if stopped and not self._transport.is_closing():
            self._transport.resume_reading()
