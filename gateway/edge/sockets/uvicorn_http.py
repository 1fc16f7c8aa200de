"""uvicorn's HTTP protocol, with bounds for what one connection may ask for.

uvicorn alone takes whatever it is given: headers, trailers, requests behind each other. And it
waits for ever (``http_deadlines``). Also for plain uvicorn:
``--http gateway.edge.sockets.uvicorn_http:GatewayHttp``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from httptools import HttpParserUpgrade
from uvicorn.server import ServerState

from gateway.edge.sockets.flow_control import ReadFlowControl
from gateway.edge.sockets.handshake_throttle import HandshakeThrottle
from gateway.edge.sockets.http_deadlines import HttpDeadlines
from gateway.edge.sockets.request_meter import (
    BODY_PIECE_BYTES,
    MAX_HEADERS,
    TOO_MANY_HEADERS,
    RequestState,
)
from gateway.edge.sockets.whole_answers import WholeAnswer, answer_whole

TURN_S: Final = 0.0005  # of parsing; then it is somebody else's turn
_LINE_BREAKS: Final = b"\r\n"

_turns: WeakKeyDictionary[ServerState, HandshakeThrottle] = WeakKeyDictionary()
"""What the connections of one server have in common."""


class GatewayHttp(HttpDeadlines):
    """One request of a connection at a time: what is behind it is not read until it is answered.

    The deadlines are those of ``HttpDeadlines``.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        turns = _turns.get(self.server_state)
        if turns is None:
            turns = _turns[self.server_state] = HandshakeThrottle(1)
        self._turns = turns
        self._held = b""  # read, and not for the parser yet
        self._turning = False  # it will be, in a turn to come
        self._refusal = ""
        self._read = b""
        self._piece_at = 0

    # asyncio's protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = ReadFlowControl(transport, self._wanted)
        self._begin_waiting()

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
        self._end_waiting()
        super().connection_lost(exc)
        self._flow.end()

    # Reading

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
            self._turns.later(self._go_on)

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
        self._end_waiting()
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
