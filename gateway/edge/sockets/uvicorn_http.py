"""uvicorn's HTTP protocol, with bounds for what one connection may ask for.

uvicorn alone waits for ever for a client that connects and says nothing, that never ends the body
of a request that has its answer, or that does not read its answers: ten thousand of them take every
descriptor of a worker. And it takes whatever it is given: headers, trailers, requests behind each
other. Also for plain uvicorn: ``--http gateway.edge.sockets.uvicorn_http:GatewayHttp``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from enum import Enum, auto
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.edge.sockets.flow_control import ReadFlowControl
from gateway.edge.sockets.handshake_throttle import HandshakeThrottle
from gateway.edge.sockets.request_meter import (
    BODY_PIECE_BYTES,
    MAX_HEADERS,
    TOO_MANY_HEADERS,
    RequestMeter,
    RequestState,
)
from gateway.edge.sockets.timer_wheel import NOWHERE, TimerWheel
from gateway.edge.sockets.whole_answers import WholeAnswer, answer_whole

BODY_S: Final = 60.0  # without a byte of a body that is waited for
TURN_S: Final = 0.0005  # of parsing; then it is somebody else's turn
_TICKS: Final = 20  # in the shortest deadline
_LINE_BREAKS: Final = b"\r\n"


class _Deadline(Enum):
    """What has a deadline."""

    NONE = auto()
    HEAD = auto()
    UNWANTED_BODY = auto()  # the rest of one whose request has its answer
    BODY = auto()
    WRITE = auto()  # of anything that was written


class _ServerContext:
    """What the connections of one server have in common."""

    def __init__(self, shortest_s: float) -> None:
        self.timers = TimerWheel(shortest_s / _TICKS)
        self.turns = HandshakeThrottle(1)


_by_server: WeakKeyDictionary[ServerState, _ServerContext] = WeakKeyDictionary()


class GatewayHttp(HttpToolsProtocol):
    """One request of a connection at a time; what comes behind it is not read until it is answered.

    Attributes:
        head_s: The first head must be complete so long after connecting, any other so long after it
            began, and so must the rest of a body whose request has its answer.
        stall_s: For a client to take anything of what was written.
        body_s: For a client to send anything of a body.
    """

    head_s = 10.0
    stall_s = 10.0
    body_s = BODY_S

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        context = _by_server.get(self.server_state)
        if context is None:
            shortest_s = min(self.head_s, self.stall_s, self.body_s)
            context = _by_server[self.server_state] = _ServerContext(shortest_s)
        self._context = context
        self._meter = RequestMeter()
        self._held = b""  # read, and not for the parser yet
        self._turning = False  # it will be, in a turn to come
        self._deaf = False  # nothing more is read
        self._refusal = ""
        self._read = b""
        self._piece_at = 0
        self._deadline = _Deadline.NONE
        self._unsent_bytes = 0
        self._slot = NOWHERE

    @classmethod
    def within(cls, head_s: float, stall_s: float = stall_s) -> type[GatewayHttp]:
        """The same class with these deadlines."""
        return type(cls.__name__, (cls,), {"head_s": head_s, "stall_s": stall_s})

    # asyncio's protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = ReadFlowControl(transport, self._wanted)
        self._put(_Deadline.HEAD, self.head_s)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._held or self._turning or self.flow.read_paused:
            self._held += data
            self._flow.pause_transport()
            return
        self._feed(data)
        if len(data) >= BODY_PIECE_BYTES and not self._deaf:
            # uvloop would go on reading, up to 8 MB in one turn.
            self._flow.pause_transport()
            self._take_turn()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._held = b""
        self._put(_Deadline.NONE, None)
        super().connection_lost(exc)
        self._flow.end()

    # Reading

    @property
    def _flow(self) -> ReadFlowControl:
        return cast(ReadFlowControl, self.flow)

    @property
    def _answering(self) -> bool:
        """Whether a request is complete and has no whole answer yet."""
        cycle = self.cycle
        between = self._meter.state is RequestState.BETWEEN
        return between and cycle is not None and not cycle.response_complete

    def _feed(self, data: bytes) -> None:
        place, size, until = 0, len(data), 0.0
        while place < size:
            if self._answering or self.flow.read_paused:
                break
            if until and time.monotonic() > until:
                self._take_turn()
                break
            until = until or time.monotonic() + TURN_S
            if self._meter.state is RequestState.BETWEEN and data[place] in _LINE_BREAKS:
                skipped = size - place - len(data[place:].lstrip(_LINE_BREAKS))
                place += skipped
                self._meter.skipped(skipped)
                self._check()
            else:
                place = self._feed_piece(data, place)
            if self._deaf or self.transport.is_closing():
                return
        self._held = data[place:]
        if self._held:
            self._flow.pause_transport()
        else:
            self._flow.resume_transport()
        self._wait()

    def _feed_piece(self, data: bytes, place: int) -> int:
        end = self._meter.begin_piece(data, place)
        piece = data[place:end]
        self._read, self._piece_at = data, place
        super().data_received(piece)
        self._read = b""
        if not self._deaf:
            self._meter.end_piece(len(piece))
            self._check()
        return end

    def _check(self) -> None:
        wrong = self._meter.wrong
        if wrong is not None:
            self._refuse(wrong)

    def _take_turn(self) -> None:
        if not self._turning:
            self._turning = True
            self._context.turns.later(self._go_on)

    def _go_on(self) -> None:
        self._turning = False
        held, self._held = self._held, b""
        if not self._deaf and not self.transport.is_closing():
            self._feed(held)

    def _wanted(self) -> None:
        """What was paused may go on."""
        if self._held:
            self._take_turn()
        elif not self._turning:
            self._flow.resume_transport()
        self._wait()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._meter.begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._meter.header():
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADERS:
            self._refusal = TOO_MANY_HEADERS
            raise ValueError(self._refusal)  # before it is anybody's; the parser ends with it
        self._meter.end_head(self.headers)
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # it is no upgrade
            answer_whole(self.cycle)

    def on_chunk_header(self) -> None:
        self._meter.chunk()

    def on_body(self, body: bytes) -> None:
        self._meter.body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._meter.end()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        ended = sys.exception()  # how the parser says that this was an upgrade, and where it ended
        if self.parser.get_http_version() != "1.1":  # uvicorn would hand it on as if it were
            self._refuse("A handshake is made in HTTP/1.1.")
            return
        self._deaf = True
        self._put(_Deadline.NONE, None)
        self.flow.resume_reading()
        self._flow.resume_transport()
        super().handle_websocket_upgrade()
        # What these refer to refers to them: the head would stay until a collection.
        self._flow.end()
        self.parser = None  # type: ignore[assignment]  # as uvicorn does at its end
        if isinstance(ended, HttpParserUpgrade):
            early = self._read[self._piece_at + ended.args[0] :]
            if early:
                # Sent without waiting for the 101, and dropped by uvicorn. A message must not be
                # lost, nor the rest of one be taken for a frame.
                cast(asyncio.Protocol, self.transport.get_protocol()).data_received(early)

    def _unsupported_upgrade_warning(self) -> None:
        # The parser takes what follows for the other protocol: this one ends with its answer.
        super()._unsupported_upgrade_warning()
        self._deaf = True
        self.cycle.keep_alive = False

    # The end

    def on_response_complete(self) -> None:
        cast(WholeAnswer, self.cycle.transport).flush()
        super().on_response_complete()
        if self._held:
            self._take_turn()
        self._wait()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        self._deaf = True
        self._held = b""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or self._meter.state is not RequestState.BODY:
                self.transport.abort()  # it would be taken for a part of another answer
                return
            cycle.disconnected = True  # it is answered here
            cycle.message_event.set()
        if self._meter.state is RequestState.BODY and (cycle is None or cycle.response_complete):
            self.transport.close()  # it had its answer
        else:
            super().send_400_response(self._refusal or msg)
        self._wait()

    def _refuse(self, text: str) -> None:
        self._refusal = text
        self.send_400_response(text)

    # Deadlines

    def due(self, slot: int) -> None:
        if slot != self._slot:
            return
        self._slot = NOWHERE
        if self._deadline is _Deadline.WRITE:
            self._deadline = _Deadline.NONE
            unsent = self.transport.get_write_buffer_size()
            if unsent < self._unsent_bytes:
                self._wait()
                return
        self.transport.abort()

    def _wait(self) -> None:
        """Put the deadline for what is awaited now."""
        closing = self.transport.is_closing()
        if self.flow.write_paused or (closing and self.transport.get_write_buffer_size()):
            if self._deadline is not _Deadline.WRITE:
                self._unsent_bytes = self.transport.get_write_buffer_size()
                self._put(_Deadline.WRITE, self.stall_s)
        elif closing or self._deaf:
            self._put(_Deadline.NONE, None)
        elif self._meter.state is RequestState.HEAD:
            if self._deadline is not _Deadline.HEAD:
                self._put(_Deadline.HEAD, self.head_s)
        elif self._meter.state is RequestState.BODY and self.cycle and self.cycle.response_complete:
            # The rest of a body that nobody wants, in the time of a head: each byte of it ends
            # uvicorn's keep-alive timer, and nothing would start it again.
            if self._deadline is not _Deadline.UNWANTED_BODY:
                self._put(_Deadline.UNWANTED_BODY, self.head_s)
        elif self._meter.state is RequestState.BODY and not self.flow.read_paused:
            self._put(_Deadline.BODY, self.body_s)
        elif self._deadline is not _Deadline.HEAD or self.cycle is not None:
            self._put(_Deadline.NONE, None)

    def _put(self, deadline: _Deadline, after_s: float | None) -> None:
        timers = self._context.timers
        if self._slot != NOWHERE:
            timers.take(self, self._slot)
        self._deadline = deadline
        self._slot = timers.put(self, after_s) if after_s is not None else NOWHERE
