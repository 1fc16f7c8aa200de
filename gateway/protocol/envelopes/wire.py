"""The wire form of what workers say to each other.

One PUBLISH carries one batch: a header and any number of envelopes, in MessagePack arrays:

    [[version, sender, epoch, number, ack_epoch, ack, ask, serial, heard, room, held],
     [envelope, ...]]
    envelope = [tag, field, ...]

Fields are only ever added at the end of an envelope, with a default, so that a reader that does
not know them skips them and one that misses them fills them in. Whatever cannot be done that way
is a new version. A worker reads its own version and the one before, and writes the older of its
own and its peer's.

Version 2 had the first seven fields of the header, and its receivers kept nothing that came early.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any, Final

import msgspec

from gateway.errors import EnvelopeTooLarge
from gateway.protocol.envelopes.kinds import Envelope, all_kinds
from gateway.protocol.ids import WorkerId

VERSION: Final = 3
OLDEST: Final = 2
SELECTIVE: Final = 3  # the first whose receivers keep what comes early, and report what they hold
MAX_ENVELOPE_BYTES: Final = 1 << 20
MAX_BATCH_BYTES: Final = 256 << 10
LONG_BYTES: Final = 1 << 14  # of an envelope: a longer one is not copied, a shorter one sooner is

# Bytes that leave one behind the other.
Pieces = tuple[bytes, ...]


class Header(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a link says with every batch.

    ``number`` counts the numbered batches of ``epoch``, from 1; 0 is a batch outside of the
    numbering. ``ack`` is the last number of ``ack_epoch`` that arrived with all before it;
    ``ack_epoch`` is negative when that epoch was given up, and 0 when none was ever heard.
    ``ask`` wants to be sent what is missing after ``ack``.

    ``serial`` rises with everything that is numbered or polls, repeats too; 0 is neither. ``heard``
    is the highest serial of the peer's epoch that arrived, and ``held`` are all numbers after
    ``ack`` that are kept because one before them is missing: first, last, first, last, rising.
    ``heard`` is 0 where neither is told. ``room`` is how many KiB the peer may have under way.
    """

    version: int
    sender: WorkerId
    epoch: int
    number: int
    ack_epoch: int
    ack: int
    ask: bool
    serial: int = 0
    heard: int = 0
    room: int = 0
    held: tuple[int, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
# As ``encode``, whatever its size: for who looks at that, and has a call less for every message.
encode_any: Final[Callable[[Envelope], bytes]] = _encode
_AnyKind: Any = reduce(or_, all_kinds().values())
_decode_batch = msgspec.msgpack.Decoder(tuple[Header, list[_AnyKind]]).decode
_decode_outline = msgspec.msgpack.Decoder(tuple[Header, list[msgspec.Raw]]).decode
_decode_one = msgspec.msgpack.Decoder(_AnyKind).decode

# msgspec lets bytes that are no UTF-8 out as they are: no DecodeError.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_PAIR = b"\x92"  # a MessagePack array of two
_ARRAY32 = b"\xdd"  # an array whose length follows in four bytes, big endian


class Batch(msgspec.Struct, frozen=True):
    """One batch as read. ``unreadable`` counts the envelopes that were left out of it."""

    header: Header
    envelopes: Sequence[Envelope]
    unreadable: int


def encode(envelope: Envelope) -> bytes:
    """One envelope in its wire form, which is the same in all versions that are read.

    Raises:
        EnvelopeTooLarge: It is over ``MAX_ENVELOPE_BYTES``: nobody could carry it safely.
        UnicodeEncodeError: A text has a lone surrogate, which UTF-8 cannot say.
    """
    item = encode_any(envelope)
    if len(item) > MAX_ENVELOPE_BYTES:
        raise EnvelopeTooLarge(size_bytes=len(item), limit_bytes=MAX_ENVELOPE_BYTES)
    return item


def join(items: Sequence[bytes]) -> bytes:
    """The body of one batch from envelopes in their wire form, kept in order."""
    return b"".join((_ARRAY32, len(items).to_bytes(4, "big"), *items))


def join_long(items: Sequence[bytes]) -> Pieces:
    """The same as ``join``, in pieces: long envelopes as they are, what is between them joined."""
    pieces: list[bytes] = []
    between = [_ARRAY32, len(items).to_bytes(4, "big")]
    for item in items:
        if len(item) < LONG_BYTES:
            between.append(item)
            continue
        if between:
            pieces.append(b"".join(between))
            between = []
        pieces.append(item)
    if between:
        pieces.append(b"".join(between))
    return tuple(pieces)


def stamp(header: Header, body: bytes) -> bytes:
    """A whole batch, or its first piece, made of the first of its body.

    The body may be stamped again, with a newer acknowledgement.
    """
    return b"".join((_PAIR, _encode(header), body))


def hint(sender: WorkerId, envelope: Envelope) -> bytes:
    """A whole batch of one envelope that belongs to no link: at most once, unacknowledged.

    In the oldest version: nobody has said what its receivers read.
    """
    header = Header(OLDEST, sender, 0, 0, 0, 0, False)
    return stamp(header, join([encode(envelope)]))


def read(payload: bytes) -> Batch | None:
    """The batch in ``payload``; None when not even its header can be read.

    Never raises for any content. An envelope that cannot be read, or that this version does not
    know, is left out and counted; those around it are kept. Only where one cannot even be skipped
    (it is cut short, or nested past Python's recursion limit) is the whole batch unreadable.
    """
    try:
        header, envelopes = _decode_batch(payload)
    except _UNREADABLE:
        return _read_slowly(payload)
    return Batch(header, envelopes, 0) if OLDEST <= header.version <= VERSION else None


def _read_slowly(payload: bytes) -> Batch | None:
    try:
        header, items = _decode_outline(payload)
    except _UNREADABLE:
        return None
    if not OLDEST <= header.version <= VERSION:
        return None
    envelopes = [e for item in items if (e := _read_one(item)) is not None]
    return Batch(header, envelopes, len(items) - len(envelopes))


def _read_one(item: msgspec.Raw) -> Envelope | None:
    try:
        envelope: Envelope = _decode_one(item)
    except _UNREADABLE:
        return None
    return envelope
