"""What workers say to each other, and its wire form.

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

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.errors import EnvelopeTooLarge
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt

VERSION: Final = 3
OLDEST: Final = 2
SELECTIVE: Final = 3  # the first whose receivers keep what comes early, and report what they hold
MAX_ENVELOPE_BYTES: Final = 1 << 20
MAX_BATCH_BYTES: Final = 256 << 10


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


class ConnectionFacts(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is known of a connection since its handshake."""

    user: str | None
    address: str
    query: str
    headers: tuple[tuple[str, str], ...]
    subprotocols: tuple[str, ...]
    expires_unix_s: float | None = None


class _Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    pass


class Introduce(_Envelope, tag=1, frozen=True):
    """Edge to handler: what to know about a connection, before its first dispatch."""

    connection: ConnectionId
    facts: ConnectionFacts


class Forget(_Envelope, tag=2, frozen=True):
    """Edge to handler: nothing more comes of this connection. Not answered."""

    connection: ConnectionId


class Dispatch(_Envelope, tag=3, frozen=True):
    """Edge to handler: one message of a client."""

    connection: ConnectionId
    number: int
    attempt: int
    text: str


class DispatchConnect(_Envelope, tag=4, frozen=True):
    """Edge to handler: may this connection be opened?"""

    connection: ConnectionId
    number: int
    attempt: int


class DispatchDisconnect(_Envelope, tag=5, frozen=True):
    """Edge or sweeper to handler: this connection has ended."""

    connection: ConnectionId
    number: int
    attempt: int
    code: int
    reason: str


class Reply(_Envelope, tag=6, frozen=True):
    """Handler to edge: this message is answered; None is an answer without a frame."""

    connection: ConnectionId
    number: int
    attempt: int
    text: str | None


class Failed(_Envelope, tag=7, frozen=True):
    """Handler to edge: the handler did not answer. ``code`` is one of gateway.errors."""

    connection: ConnectionId
    number: int
    attempt: int
    code: str


class Admitted(_Envelope, tag=8, frozen=True):
    """Handler to edge: open it, until then; ``user`` is who the application says this is."""

    connection: ConnectionId
    number: int
    attempt: int
    user: str | None
    expires_unix_s: float | None = None


class Rejected(_Envelope, tag=9, frozen=True):
    """Handler to edge: accept it and close it with this code and reason."""

    connection: ConnectionId
    number: int
    attempt: int
    code: int
    reason: str


class Probe(_Envelope, tag=10, frozen=True):
    """To oneself: the subscription still delivers."""

    token: int


class Arrived(_Envelope, tag=11, frozen=True):
    """To all: a worker has registered. A hint to look at the leases now."""

    worker: WorkerId


class Leaving(_Envelope, tag=12, frozen=True):
    """To all: a worker drains; send it no new work. Its lease says so too."""

    worker: WorkerId


class Gone(_Envelope, tag=13, frozen=True):
    """To all: a worker has left, or its tombstone is written."""

    worker: WorkerId


class Send(_Envelope, tag=14, frozen=True):
    """Asker to owner: write this to a socket. Answered by ``Receipted``.

    A ``key`` that was written within the last minute is not written again. ``unlinked`` askers are
    no workers: they are answered outside of any link, at most once.
    """

    connection: ConnectionId
    number: int
    text: str
    key: str | None = None
    unlinked: bool = False


class Disconnect(_Envelope, tag=15, frozen=True):
    """Asker to owner: close a socket. Answered by ``Receipted``."""

    connection: ConnectionId
    number: int
    code: int
    reason: str
    unlinked: bool = False


class Inquire(_Envelope, tag=16, frozen=True):
    """Asker to owner: what of this connection? Answered by ``Receipted`` with its particulars."""

    connection: ConnectionId
    number: int
    unlinked: bool = False


class Particulars(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the owner of an open connection says of it. Times are of the owner's wall clock.

    The latter half is None from an owner of a release that does not tell it.
    """

    connected_unix_ms: int
    last_active_unix_ms: int
    user: str | None
    address: str
    user_agent: str
    waiting_bytes: int | None = None  # for the client to read
    received: int | None = None  # messages
    sent: int | None = None  # frames, greetings and answers among them
    unanswered: int | None = None  # messages
    handled_by: WorkerId | None = None  # the worker that was given the last message


class Receipted(_Envelope, tag=17, frozen=True):
    """Owner to asker: what became of it. ``receipt`` is one of gateway.protocol.receipt."""

    connection: ConnectionId
    number: int
    receipt: Receipt
    particulars: Particulars | None = None


class Blocking(_Envelope, tag=18, frozen=True):
    """Handler to edge, outside of any link: its event loop is held by the handler of this."""

    connection: ConnectionId
    number: int
    attempt: int


Answer = Reply | Failed | Admitted | Rejected
Question = Send | Disconnect | Inquire
Envelope = (
    Introduce
    | Forget
    | Dispatch
    | DispatchConnect
    | DispatchDisconnect
    | Reply
    | Failed
    | Admitted
    | Rejected
    | Probe
    | Arrived
    | Leaving
    | Gone
    | Send
    | Disconnect
    | Inquire
    | Receipted
    | Blocking
)
_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(tuple[Header, list[Envelope]]).decode
_decode_outline = msgspec.msgpack.Decoder(tuple[Header, list[msgspec.Raw]]).decode
_decode_one = msgspec.msgpack.Decoder(Envelope).decode

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
    item = _encode(envelope)
    if len(item) > MAX_ENVELOPE_BYTES:
        raise EnvelopeTooLarge(size_bytes=len(item), limit_bytes=MAX_ENVELOPE_BYTES)
    return item


def join(items: Sequence[bytes]) -> bytes:
    """The body of one batch from envelopes in their wire form, kept in order."""
    return b"".join((_ARRAY32, len(items).to_bytes(4, "big"), *items))


def stamp(header: Header, body: bytes) -> bytes:
    """A whole batch. The body may be stamped again, with a newer acknowledgement."""
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
