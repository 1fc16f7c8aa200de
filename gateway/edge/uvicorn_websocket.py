"""uvicorn's stock WebSocket protocol, with a ``Socket`` for the application in its scope.

Also usable under plain uvicorn: ``--ws gateway.edge.uvicorn_websocket:GatewayWebSocket``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, SEND_EOF, Event
from websockets.server import ServerProtocol

from gateway.edge.socket import EXTENSION, Listener
from gateway.protocol.text import frame_header


class _Protocol(ServerProtocol):
    """The sans-I/O protocol, but a client's close is answered with our farewell."""

    farewell: Close | None = None

    def recv_frame(self, frame: Frame) -> None:
        answers_close = frame.opcode is Opcode.CLOSE and self.state is OPEN
        super().recv_frame(frame)  # checks it, and queues the echo of its code
        if answers_close and self.farewell is not None:
            ours = Frame(Opcode.CLOSE, self.farewell.serialize()).serialize(mask=False)
            self.writes[-2:] = [ours, SEND_EOF]


class GatewayWebSocket(WebSocketsSansIOProtocol):
    """``Socket`` and uvicorn protocol in one object.

    Until ``start`` it is uvicorn's own protocol, and stays so for an application that does not
    know the extension.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: _Protocol = _Protocol(
            extensions=self.conn.available_extensions,
            max_size=self.config.ws_max_size,
            logger=self.logger,
        )
        self._listener: Listener | None = None
        self._unhandled: deque[Event] = deque()
        self._paused = False
        self.written_bytes = 0

    # Socket

    @property
    def buffered_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    @property
    def takes_writes(self) -> bool:
        return not self.close_sent and not self.transport.is_closing() and self.conn.state is OPEN

    def start(self, listener: Listener, *, farewell: tuple[int, str]) -> None:
        self._listener = listener
        self.conn.farewell = Close(*farewell)
        if self.disconnected:
            self._end(CloseCode.ABNORMAL_CLOSURE, "")
            return
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        while self._listener is not None and not self.queue.empty():
            # A client must wait for the 101 (RFC 6455 section 4.1). Of one that did not, what was
            # read while the application decided is answered all the same.
            message = self.queue.get_nowait()
            if message["type"] == "websocket.receive":
                text = message.get("text")
                listener.on_binary() if text is None else listener.on_text(text)

    def write(self, payloads: Sequence[bytes]) -> None:
        if not self.takes_writes:
            return
        pieces: list[bytes] = []
        for payload in payloads:
            pieces += (frame_header(len(payload)), payload)
        data = b"".join(pieces)
        self.written_bytes += len(data)
        self.transport.write(data)

    def pause_reading(self) -> None:
        if not self._paused and not self.disconnected:
            self._paused = True
            # Pongs are not read either, so their absence says nothing.
            self.stop_keepalive()
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self.disconnected:
            self._paused = False
            self.start_keepalive()
            self.transport.resume_reading()
            self.loop.call_soon(self.handle_events)

    def close(self, code: int, reason: str) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        if self.conn.state is not OPEN:
            self.resume_reading()  # the client's own close waits among what was not handled
            return
        self.stop_keepalive()
        self.conn.send_close(code, reason)
        self.close_sent = True
        self._flush()
        self._unhandled.clear()
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def abort(self) -> None:
        self.transport.abort()

    # uvicorn's protocol

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast(dict[str, object], self.scope["extensions"])[EXTENSION] = self

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # a denial is an answer; uvicorn would log an error

    def handle_events(self) -> None:
        if self._listener is None:
            super().handle_events()
            return
        self._unhandled.extend(self.conn.events_received())
        while self._unhandled and not self._paused:
            event = self._unhandled.popleft()
            if isinstance(event, Frame):
                self._handle_frame(event)

    def _handle_frame(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT:
                self.handle_text(frame)
            case Opcode.BINARY:
                self.handle_bytes(frame)
            case Opcode.CONT:
                self.handle_cont(frame)
            case Opcode.PING:
                self.handle_ping()
            case Opcode.PONG:
                self.handle_pong(frame)
            case Opcode.CLOSE:
                self.handle_close(frame)

    def send_receive_event_to_app(self) -> None:
        listener = self._listener
        if listener is None:
            super().send_receive_event_to_app()
            return
        payload = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "bytes":
            listener.on_binary()
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self.conn.fail(CloseCode.INVALID_DATA, "invalid UTF-8")
            self.handle_parser_exception()
            return
        listener.on_text(text)

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        if self._listener is not None and self.conn.close_rcvd is not None:
            ours = self.conn.close_sent
            first = ours if self.close_sent and ours is not None else self.conn.close_rcvd
            self._end(first.code, first.reason)

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        if self._listener is not None and self.conn.close_sent is not None:
            self._end(self.conn.close_sent.code, self.conn.close_sent.reason)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        ours = self.conn.close_sent
        if ours is not None:
            self._end(ours.code, ours.reason)
        else:
            self._end(CloseCode.ABNORMAL_CLOSURE, "")

    def _end(self, code: int, reason: str) -> None:
        listener, self._listener = self._listener, None
        self._unhandled.clear()
        if listener is not None:
            if self.transport.get_write_buffer_size():
                # A peer that no longer reads would keep the closing transport for ever.
                self.loop.call_later(self.close_timeout, self.transport.abort)
            listener.on_close(code, reason)

    def _flush(self) -> None:
        self.transport.write(b"".join(self.conn.data_to_send()))
