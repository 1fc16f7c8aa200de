"""RFC 6455 beyond single frames: what is sent, and what a parser of frames leaves to its user.

A parser checks opcodes, masks and lengths. Fragments, UTF-8 and closes are checked here.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.close_codes import INVALID_TEXT, NO_CODE, PROTOCOL_ERROR, too_big

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

MAX_REASON_BYTES: Final = 123
CHUNK_BYTES: Final = 64 << 10  # what is worth copying once more, to write once
LONG_BYTES: Final = 1 << 13  # a longer payload is not worth copying at all
LONGEST_HEADER_BYTES: Final = 14
_FIN: Final = 0x80
_MASKED: Final = 0x80
_integer: Final = int.from_bytes
_ALL_BITS: Final = tuple((1 << 8 * length) - 1 for length in range(126))
# Section 7.4.1 and IANA's registry: 1004, 1005, 1006 and 1015 may not be in a frame.
_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_SHORT_TEXT: Final = tuple(bytes((_FIN | TEXT, length)) for length in range(126))

_decoder: Final = codecs.getincrementaldecoder("utf-8")


class Violation(Exception):
    """The peer broke the protocol; the connection is to be failed (section 7.1.7).

    Attributes:
        code: For the close frame.
        reason: For the close frame, never empty.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def header(opcode: int, length: int) -> bytes:
    """The header of one unfragmented, unmasked frame (section 5.2)."""
    if length < 126:
        return bytes((_FIN | opcode, length))
    if length < 1 << 16:
        return bytes((_FIN | opcode, 126)) + length.to_bytes(2, "big")
    return bytes((_FIN | opcode, 127)) + length.to_bytes(8, "big")


def masked_frame_bytes(data: bytes | memoryview) -> int:
    """The length of the frame that ``data`` begins with, its masked header included.

    0 if its header may be cut off.
    """
    if len(data) < LONGEST_HEADER_BYTES:
        return 0
    length = data[1] & 0x7F
    if length < 126:
        return 6 + length
    if length == 126:
        return 8 + int.from_bytes(data[2:4], "big")
    return 14 + int.from_bytes(data[2:10], "big")


def lone_text(data: bytes) -> str | None:
    """The text of ``data``, where that is one short text frame of a client and nothing else.

    None: it is anything else, or no text, and a parser is to say what. Most that clients send is
    short and comes alone, and a parser takes three times as long for it.
    """
    if len(data) < 6 or data[0] != _FIN | TEXT:
        return None
    size = data[1] - _MASKED
    if size > 125 or len(data) != size + 6:
        return None
    masked = _integer(data[6:], "little")
    mask = _integer(data[2:6] * 32, "little") & _ALL_BITS[size]
    try:
        return (masked ^ mask).to_bytes(size, "little").decode()
    except UnicodeDecodeError:
        return None


def text_frames(payloads: Sequence[bytes]) -> bytes:
    """One text frame a payload, each valid UTF-8, joined."""
    if len(payloads) == 1:
        length = len(payloads[0])
        return (_SHORT_TEXT[length] if length < 126 else header(TEXT, length)) + payloads[0]
    pieces: list[bytes] = []
    for payload in payloads:
        length = len(payload)
        pieces.append(_SHORT_TEXT[length] if length < 126 else header(TEXT, length))
        pieces.append(payload)
    return b"".join(pieces)


def text_pieces(payloads: Sequence[bytes]) -> list[bytes]:
    """The same in pieces: long payloads as they are, what is between them joined."""
    pieces: list[bytes] = []
    between: list[bytes] = []
    for payload in payloads:
        length = len(payload)
        between.append(_SHORT_TEXT[length] if length < 126 else header(TEXT, length))
        if length < LONG_BYTES:
            between.append(payload)
        else:
            pieces += (b"".join(between), payload)
            between = []
    if between:
        pieces.append(b"".join(between))
    return pieces


def text_chunks(payloads: Sequence[bytes]) -> Iterator[bytes]:
    """The same in pieces, each of which can be let go once it is sent.

    Long payloads come as they are: joined, megabytes would be there twice.
    """
    pieces: list[bytes] = []
    size = 0
    for payload in payloads:
        length = len(payload)
        if size + length > CHUNK_BYTES and pieces:
            yield b"".join(pieces)
            pieces, size = [], 0
        pieces.append(header(TEXT, length))
        if length > CHUNK_BYTES:
            yield b"".join(pieces)
            yield payload
            pieces = []
        else:
            pieces.append(payload)
            size += length
    if pieces:
        yield b"".join(pieces)


def close_frame(code: int, reason: str) -> bytes:
    """A close frame. A reason that is too long is cut between letters; 1005 sends no code."""
    if code == NO_CODE.code:
        return header(CLOSE, 0)
    said = reason.encode()
    if len(said) > MAX_REASON_BYTES:
        said = said[:MAX_REASON_BYTES].decode(errors="ignore").encode()
    return header(CLOSE, 2 + len(said)) + code.to_bytes(2, "big") + said


def read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a peer's close; ``NO_CODE`` where it has none.

    Raises:
        Violation: A code that may not be sent, half a code, or a reason that is not UTF-8.
    """
    if not payload:
        return NO_CODE
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _CODES or 3000 <= code < 5000):
        raise Violation(PROTOCOL_ERROR.code, "invalid close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise Violation(INVALID_TEXT.code, "the close reason is not UTF-8") from None


class Assembly:
    """The fragments of one message (section 5.4).

    Args:
        opcode: Of the first fragment, ``TEXT`` or ``BINARY``.
        max_bytes: The longest message that is taken.
    """

    __slots__ = ("_check", "_max_bytes", "_payload")

    def __init__(self, opcode: int, *, max_bytes: int) -> None:
        # Not a list of fragments: of ten thousand empty ones nothing is kept.
        self._payload = bytearray()
        self._max_bytes = max_bytes
        self._check = _decoder() if opcode == TEXT else None

    def add(self, payload: bytes, *, last: bool) -> str | bytes | None:
        """Take the next fragment.

        Returns:
            The whole message after the last one, a ``str`` if it is text.

        Raises:
            Violation: It is too long by now, or no continuation can make it UTF-8.
        """
        if len(self._payload) + len(payload) > self._max_bytes:
            raise Violation(*too_big(self._max_bytes))
        self._payload += payload
        if self._check is None:
            return bytes(self._payload) if last else None
        try:
            self._check.decode(payload, last)
        except UnicodeDecodeError:
            raise Violation(*INVALID_TEXT) from None
        return self._payload.decode() if last else None
