"""What travels in a channel between workers: publications, and who has joined and left.

One message is ``<kind><offset>:<epoch>:<body>``: so the script that stores a publication can put
the place in front of a body that it need not read. The body is MessagePack. Pure.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

import msgspec

from gateway.protocol.trace_context import TraceContext

MAX_PUBLICATION_BYTES: Final = 64 << 10  # of its data and its tags


class MessageKind(Enum):
    """The first byte of a message."""

    PUBLICATION = b"p"
    JOIN = b"j"
    LEAVE = b"l"


class ClientInfo(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A member of a channel. ``conn_info`` and ``chan_info`` are JSON, or empty."""

    user: str
    client: str
    conn_info: bytes = b""
    chan_info: bytes = b""


class PublicationBody(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was published.

    Attributes:
        data: One JSON value in UTF-8 without raw newlines, byte for byte as it was given.
        info: The client that published it, where one did.
    """

    data: bytes
    info: ClientInfo | None = None
    tags: dict[str, str] = {}


class TracedPublicationBody(PublicationBody, frozen=True):
    """One that is a part of a trace, and the span that it follows from. Who does not trace reads a
    ``PublicationBody``. The fourth place is that of ``trace``, in all releases.
    """

    trace: TraceContext | None = None


class ChannelMessage(NamedTuple):
    """One message as read. Offset 0 and an empty epoch where nothing was stored."""

    kind: MessageKind
    epoch: str
    offset: int
    body: bytes


encode: Final = msgspec.msgpack.Encoder().encode
read_publication: Final = msgspec.msgpack.Decoder(PublicationBody).decode
read_client_info: Final = msgspec.msgpack.Decoder(ClientInfo).decode

_KINDS: Final = {kind.value: kind for kind in MessageKind}
MAX_OFFSET_DIGITS: Final = 20
UNPLACED: Final = b"p0::"  # before the body of a publication that is not stored


def message(kind: MessageKind, body: bytes, *, epoch: str = "", offset: int = 0) -> bytes:
    """One message. Where it is stored, the script writes what is before the body."""
    return b"%b%d:%b:%b" % (kind.value, offset, epoch.encode(), body)


def read(payload: bytes) -> ChannelMessage | None:
    """The message in ``payload``; None for what is none. The body is not looked at."""
    if payload.startswith(UNPLACED):  # most are
        return ChannelMessage(MessageKind.PUBLICATION, "", 0, payload[len(UNPLACED) :])
    kind = _KINDS.get(payload[:1])
    place, colon, rest = payload[1:].partition(b":")
    epoch, second, body = rest.partition(b":")
    if kind is None or not (colon and second and place.isdigit() and epoch.isascii()):
        return None
    if len(place) > MAX_OFFSET_DIGITS:
        return None
    return ChannelMessage(kind, epoch.decode(), int(place), body)
