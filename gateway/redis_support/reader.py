"""The reader of Redis' protocol, with bounds: what no Redis of ours would send is an error.

hiredis makes room for as many elements as a header announces. ``*2147483647`` costs it nothing, and
us 16 GB of addresses: to let go of them takes 8 s, and every garbage collection walks through them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import hiredis

INCOMPLETE: Final = object()
MAX_REPLY_BYTES: Final = 128 << 20
# Before a reply or an element: an aggregate of a million elements. We ask for some hundreds.
_ABSURD: Final = re.compile(rb"\n[*%~>|]\d{7}")
_ABSURD_AT_ONCE: Final = re.compile(rb"[*%~>|]\d{7}")
_HEADER_CUT: Final = re.compile(rb"[*%~>|]\d{0,9}\r?\Z")
_LONGEST_CUT: Final = 16
_SHORT: Final = 2048
_GLANCES: Final = 16  # at line ends; where there are more, messages are short


class ReplyError(Exception):
    """Redis answered one command with an error. A value among replies, not raised here."""


class BoundedReader:
    """``hiredis.Reader`` that raises ``protocol_error`` at absurd headers, and at endless replies.

    What looks like such a header may be content: a client's text, in the middle of a message. There
    hiredis still holds bytes of it; before a header it holds none. So feeding it up to there tells
    the two apart. Everything else costs a few searches in C, less than 1 us a read.

    Args:
        max_reply_bytes: Of what is not whole yet; more is an endless reply.

    Attributes:
        gets: The next reply, or ``incomplete``. After what ``feed`` returned. hiredis' own.
    """

    def __init__(
        self,
        *,
        reply_error: Callable[[str], Exception],
        protocol_error: type[Exception] = hiredis.ProtocolError,
        incomplete: object = INCOMPLETE,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        self._reader = hiredis.Reader(
            protocolError=protocol_error, replyError=reply_error, notEnoughData=incomplete
        )
        self._protocol_error = protocol_error
        self._incomplete = incomplete
        self._max_reply_bytes = max_reply_bytes
        self._kept = b""  # may be the beginning of a header
        self._unread_bytes = 0
        self.gets = self._reader.gets

    def feed(self, data: bytes) -> list[Any]:
        """Take what was read.

        Returns:
            Replies that had to be read already. They come before what ``gets`` gives.
        """
        if (
            self._kept
            or not data.endswith(b"\n")
            or (data[7:8].isdigit() and _ABSURD_AT_ONCE.match(data) is not None)
            or (
                _ABSURD.search(data) is not None
                if len(data) < _SHORT
                else next(_absurd_headers(data), None) is not None
            )
        ):
            return self._feed_with_care(data)
        self._reader.feed(data)
        return []

    def has_data(self) -> bool:
        """Whether there is a part of a reply."""
        return bool(self._kept) or self._reader.has_data()

    def _feed_with_care(self, data: bytes) -> list[Any]:
        data, self._kept = self._kept + data, b""
        if not data.endswith(b"\n"):
            cut = _HEADER_CUT.search(data, max(0, len(data) - _LONGEST_CUT))
            if cut is not None:
                data, self._kept = data[: cut.start()], data[cut.start() :]
        if not self._reader.has_data():
            self._unread_bytes = 0
        self._unread_bytes += len(data)
        if self._unread_bytes > self._max_reply_bytes:
            raise self._protocol_error(f"a reply of more than {self._max_reply_bytes} bytes")
        if _ABSURD_AT_ONCE.match(data) is not None:
            self._refuse_header(data)
        replies: list[Any] = []
        fed = 0
        for header in _absurd_headers(data):
            self._reader.feed(data[fed:header])
            fed = header
            self._read(replies)
            self._refuse_header(data[header:])
        self._reader.feed(data[fed:])
        self._read(replies)
        if replies:  # many in a row, where no read ends with one, are no endless one
            self._unread_bytes = 0
        return replies

    def _read(self, replies: list[Any]) -> None:
        """Add those that are whole."""
        while (reply := self._reader.gets()) is not self._incomplete:
            replies.append(reply)

    def _refuse_header(self, data: bytes) -> None:
        """``data`` begins with what looks like an absurd header. It is one between two elements."""
        if not self._reader.has_data():
            header = data[:16].decode(errors="replace")
            raise self._protocol_error(f"a reply that begins with {header!r}")


def _absurd_headers(data: bytes) -> Iterator[int]:
    """Where what looks like an absurd header begins, if it is not the first byte.

    Line ends are few in what is long. To look for one byte is a hundred times as fast as to look
    for a header, or for the two bytes that begin one.
    """
    at = -1
    for _ in range(_GLANCES):
        at = data.find(b"\n", at + 1)
        if at < 0:
            return
        if _ABSURD.match(data, at) is not None:
            yield at + 1
    for found in _ABSURD.finditer(data, at + 1):
        yield found.start() + 1
