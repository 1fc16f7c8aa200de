"""From bytes to messages: picows' frame parser, and what RFC 6455 wants beyond single frames.

picows keeps 6.6 KB for each connection. Most of the time a connection is between two messages, and
a parser that is between two messages is like any other: it is lent to whoever has bytes to parse,
and kept by a connection only while a message of its is incomplete.
"""

from __future__ import annotations

import time
from typing import Any, Final, Protocol

from picows import WSAutoPingStrategy, WSFrame, WSListener, WSMsgType, WSTransport
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # left out of its stubs

from gateway.close_codes import INTERNAL_ERROR, INVALID_TEXT, PROTOCOL_ERROR
from gateway.log import get_logger
from gateway.protocol.frames import (
    BINARY,
    TEXT,
    Assembly,
    Violation,
    masked_frame_bytes,
    read_close,
)

log = get_logger(__name__)

# A parser's buffer grows with the longest frame and never shrinks.
KEPT: Final = 16
KEPT_BYTES: Final = 1 << 17
_BUFFER_BYTES: Final = 4096
# Parsed at once: all of it becomes messages, wanted or not, and 64 KiB are ten thousand of them.
# 512 bytes of empty frames take a tenth of a millisecond. One frame is one message: it may be long.
_SLICE_BYTES: Final = 512
_LONG_SLICE_BYTES: Final = 1 << 14  # within a long frame, whose end is not known
TURN_S: Final = 0.0002  # of parsing for one connection; then it is somebody else's turn
# Its state machine begins with a handshake; ours are answered elsewhere.
_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


# Looked up once: a look into an enumeration is a third of what a small frame costs.
_TEXT: Final = WSMsgType.TEXT
_PING: Final = WSMsgType.PING
_PONG: Final = WSMsgType.PONG
_CLOSE: Final = WSMsgType.CLOSE
_CONTINUATION: Final = WSMsgType.CONTINUATION

# A message, the code and reason of a close, or what the peer did wrong.
Event = str | bytes | tuple[int, str] | Violation


def ends(event: Event) -> bool:
    """Whether nothing counts after it."""
    return isinstance(event, tuple | Violation)


class Reader(Protocol):
    """Whose bytes are parsed. What it is told is in the order in which it was sent."""

    def on_text(self, text: str) -> None:
        """A text message; the same as ``on_event``, only faster."""
        ...

    def on_event(self, event: Event) -> None: ...

    def takes_frame(self) -> bool:
        """Asked for each control frame and each fragment, before anything is made of it."""
        ...

    def on_ping(self, payload: bytes) -> None: ...

    def on_pong(self, payload: bytes) -> None: ...

    @property
    def wants_more(self) -> bool:
        """Whether more is to be parsed now."""
        ...


class Parser(WSListener):
    """Parses the bytes of one ``Reader`` at a time.

    Not through with ``feed`` before it is called again: a ``Reader`` must not call it.

    Attributes:
        idle: Nothing of any connection is left in it.
        may_have_grown: Its buffer: only a frame that does not fit makes it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._reader: Reader | None = None
        self._left = 0
        self.idle = True
        self.may_have_grown = False
        self._max_bytes = max_bytes
        self._assembly: Assembly | None = None
        self._protocol = WSProtocol(
            None, None, False, lambda _request: self, _Log(), True, None, False, 10, 10,
            WSAutoPingStrategy.PING_WHEN_IDLE, False, max_bytes, None, _BUFFER_BYTES,
        )  # fmt: skip
        self._get_buffer = self._protocol.get_buffer
        self._buffer_updated = self._protocol.buffer_updated
        self._connect()
        self._protocol.get_buffer(-1)[: len(_HANDSHAKE)] = _HANDSHAKE
        self._protocol.buffer_updated(len(_HANDSHAKE))

    @property
    def capacity_bytes(self) -> int:
        """Of its buffer, while it is idle."""
        return len(self._get_buffer(-1))

    def feed(self, reader: Reader, data: bytes | memoryview) -> bytes | memoryview:
        """Parse ``data``, as far as ``reader`` wants it, for ``TURN_S`` or a bit longer.

        Returns:
            What was not looked at.

        Raises:
            Violation: Nothing can be parsed any more. What came before it has been delivered.
        """
        self._reader = reader
        size = len(data)
        if self._left or size > _BUFFER_BYTES:
            self.may_have_grown = True
        try:
            buffer = self._get_buffer(-1)
            if size > _SLICE_BYTES or size > len(buffer):
                del buffer
                return self._feed_slices(reader, memoryview(data))
            buffer[:size] = data
            del buffer  # the memory behind it may move
            self._left = -1  # as ``_update``, which would be one more call for every message
            self._buffer_updated(size)
            if self._transport.close_handshake is not None:
                self._closed()
            return b""
        finally:
            self._reader = None
            self.idle = self._left == 0 and self._assembly is None

    def _feed_slices(self, reader: Reader, data: memoryview) -> memoryview:
        until = time.monotonic() + TURN_S
        most_bytes = _SLICE_BYTES if self._left else max(_SLICE_BYTES, masked_frame_bytes(data))
        while True:
            buffer = self._get_buffer(-1)
            size = min(len(buffer), len(data), most_bytes)
            buffer[:size] = data[:size]
            del buffer
            data = data[size:]
            self._update(size)
            if not data or not reader.wants_more or time.monotonic() > until:
                return data
            if self._left == 0:
                most_bytes = max(_SLICE_BYTES, masked_frame_bytes(data))
            elif self._left > 0:
                most_bytes = _SLICE_BYTES
            elif most_bytes > max(size, _SLICE_BYTES):
                most_bytes -= size  # the rest of the frame: the buffer was too short for it
            else:
                most_bytes = _LONG_SLICE_BYTES

    def _update(self, size: int) -> None:
        self._left = -1  # no frame comes of it: it is incomplete
        self._buffer_updated(size)
        if self._transport.close_handshake is not None:
            self._closed()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        self._left = frame.tail_size
        reader = self._reader
        assert reader is not None
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            reader.on_event(Violation(PROTOCOL_ERROR.code, "a reserved bit is set"))
        elif kind is not _TEXT or self._assembly is not None or not frame.fin:
            self._on_rare_frame(reader, kind, frame)
        else:
            try:
                text = frame.get_payload_as_utf8_text()
            except UnicodeDecodeError:
                reader.on_event(Violation(*INVALID_TEXT))
            else:
                reader.on_text(text)

    def _on_rare_frame(self, reader: Reader, kind: WSMsgType, frame: WSFrame) -> None:
        if not reader.takes_frame():
            return
        payload = frame.get_payload_as_bytes()
        if kind is _PING:
            reader.on_ping(payload)
        elif kind is _PONG:
            reader.on_pong(payload)
        else:
            event: Event | None
            try:
                if kind is _CLOSE:
                    event = read_close(payload)
                else:
                    event = self._assemble(kind, payload, last=bool(frame.fin))
            except Violation as violation:
                self._assembly = None  # what comes of it by now is of no interest
                event = violation
            if event is not None:
                reader.on_event(event)

    def _assemble(self, kind: WSMsgType, payload: bytes, *, last: bool) -> str | bytes | None:
        goes_on = kind is _CONTINUATION
        if goes_on is (self._assembly is None):
            what = "nothing to continue" if goes_on else "a message is incomplete"
            raise Violation(PROTOCOL_ERROR.code, what)
        if self._assembly is None:
            if last:
                return payload
            opcode = TEXT if kind is _TEXT else BINARY
            self._assembly = Assembly(opcode, max_bytes=self._max_bytes)
        if not payload and not last:
            return None
        message = self._assembly.add(payload, last=last)
        if last:
            self._assembly = None
        return message

    def _connect(self) -> None:
        self._protocol.connection_made(_Nowhere())
        self._transport: WSTransport = self._protocol.transport

    def _closed(self) -> None:
        sent = self._transport.close_handshake.sent
        if sent is not None:
            self._left = -1  # its state is unknown; nobody gets it any more
            raise Violation(sent.code.value, sent.reason or INTERNAL_ERROR.reason)
        # A close was received, which this parser must forget for the next connection.
        self._connect()


class ParserPool:
    """The parsers of one server that nobody uses at the moment.

    Attributes:
        free: Those: take one out to use it, and make a new one where there is none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.free: list[Parser] = []

    def new(self) -> Parser:
        return Parser(self._max_bytes)

    def give_back(self, parser: Parser) -> None:
        """Only an idle one."""
        if parser.may_have_grown:
            if parser.capacity_bytes > KEPT_BYTES:
                return
            parser.may_have_grown = False
        if len(self.free) < KEPT:
            self.free.append(parser)


class _Nowhere:
    """What a parser has for a transport: it is never to write, and has nothing to close."""

    def get_extra_info(self, name: str) -> Any:
        # With an ssl_object it does not write to the socket itself, past its transport.
        return self if name in ("socket", "ssl_object") else None

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_option: int) -> None: ...

    def getsockopt(self, *_option: int) -> int:
        return 0

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, _bytes: object) -> None: ...

    def close(self) -> None: ...


class _Log:
    """A connection is failed with a code and a reason, and not with a line in the log as well."""

    def isEnabledFor(self, _level: int) -> bool:  # noqa: N802 (logging's)
        return False

    def info(self, *_arguments: object) -> None: ...

    debug = warning = error = info

    def exception(self, *_arguments: object) -> None:
        log.exception("listener failed")  # noqa: LOG004 (called by picows where it handles one)
