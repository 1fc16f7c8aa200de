"""How much of one HTTP request was read, and how much of it may be given to the parser at once."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

MAX_HEAD_BYTES: Final = 65536  # all of a request but its body: head, chunk extensions, trailers
MAX_HEADERS: Final = 128  # trailers among them; 4 bytes of a client's are 100 here
TOO_LONG: Final = "The request's head is too long."
TOO_MANY_HEADERS: Final = "The request has too many headers."
_END: Final = b"\r\n\r\n"
_CHUNK_LINES_BYTES: Final = 20  # of each chunk without extensions, at most

# The parser is given pieces that end where a request may end: it cannot be stopped in one.
_HEAD_PIECE_BYTES: Final = 4096
_CHUNKED_PIECE_BYTES: Final = 1024
BODY_PIECE_BYTES: Final = 65536


class RequestState(Enum):
    """What of a request is read: down this list, and then the next one."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()  # and its trailers


class RequestMeter:
    """The requests of one connection, one after the other. Told of by the parser's callbacks.

    Attributes:
        state: What is read now.
    """

    __slots__ = ("_body_bytes", "_headers", "_left_bytes", "_overhead_bytes", "_trailers", "state")

    def __init__(self) -> None:
        self.state = RequestState.BETWEEN
        self._overhead_bytes = 0  # of the request that is read now
        self._headers = 0
        self._trailers = 0
        self._left_bytes: int | None = 0  # of its body; None is unknown
        self._body_bytes = 0  # in the piece that is parsed now, with the lines of its chunks

    def begin(self) -> None:
        self.state = RequestState.HEAD
        self._headers = self._trailers = 0

    def header(self) -> bool:
        """One more field. False: a trailer is no header (RFC 9110 section 6.5.1): no credential, no
        host, no length.
        """
        if self.state is RequestState.BODY:
            self._trailers += 1
            return False
        self._headers += 1
        return True

    def end_head(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The body follows, as long as these say."""
        self.state = RequestState.BODY
        self._left_bytes = 0
        for name, value in headers:
            if name == b"content-length":
                self._left_bytes = int(value)
            elif name == b"transfer-encoding":
                self._left_bytes = None
                break

    def chunk(self) -> None:
        self._body_bytes += _CHUNK_LINES_BYTES

    def body(self, size_bytes: int) -> None:
        self._body_bytes += size_bytes

    def end(self) -> None:
        self.state = RequestState.BETWEEN
        self._overhead_bytes = 0

    @property
    def wrong(self) -> str | None:
        """What is too much about it, in words for its client."""
        if self._overhead_bytes > MAX_HEAD_BYTES:
            return TOO_LONG
        too_many = self._headers + self._trailers > MAX_HEADERS
        return TOO_MANY_HEADERS if too_many and self.state is not RequestState.BETWEEN else None

    def skipped(self, size_bytes: int) -> None:
        """So much was read before a request, and is no part of it."""
        self._overhead_bytes += size_bytes

    # Pieces

    def begin_piece(self, data: bytes, place: int) -> int:
        """Where the piece of ``data`` that begins at ``place`` ends, perhaps behind its end."""
        self._body_bytes = 0
        if self.state is RequestState.BODY:
            if self._left_bytes is None:
                return place + _CHUNKED_PIECE_BYTES
            return place + min(max(1, self._left_bytes), BODY_PIECE_BYTES)
        found = data.find(_END, place, place + _HEAD_PIECE_BYTES)
        return found + len(_END) if found >= 0 else place + _HEAD_PIECE_BYTES

    def end_piece(self, size_bytes: int) -> None:
        """A piece of so many bytes has been parsed."""
        if self.state is not RequestState.BETWEEN:
            if self._left_bytes is not None:
                self._left_bytes -= self._body_bytes
            self._overhead_bytes += max(0, size_bytes - self._body_bytes)
