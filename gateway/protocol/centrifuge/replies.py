"""What clients are told: results, errors and pushes as JSON messages, and these in text frames.

What is zero or empty is left out, but for the fields without a default here: SDKs fail without
them. A message never has a newline in it: that is what stands between two of them in a frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from gateway.protocol.centrifuge.codes import Error, Unsubscribed
from gateway.protocol.centrifuge.commands import NO_DATA, without_half_pairs
from gateway.protocol.json_depth import LEAST_TOO_DEEP_BYTES, NestedTooDeeply, check_depth

MESSAGES_PER_FRAME: Final = 16
PING: Final = b"{}"

_encode: Final = msgspec.json.Encoder().encode
_decode_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode


class NotJson(ValueError):
    """The payload cannot be embedded: a JSON client that is to get it is closed with 3506."""


def embeddable(payload: bytes) -> msgspec.Raw:
    """``payload`` as it goes into messages: one JSON value in UTF-8, without raw newlines.

    To be done once where a payload comes in. A newline inside of JSON is white space: in strings
    it is escaped.

    Raises:
        NotJson: It is none.
    """
    try:
        value = _value(payload.decode())  # the reader skips over what is in strings
    except RecursionError:
        raise NotJson(str(NestedTooDeeply())) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(str(error)) from None
    return msgspec.Raw(bytes(value).replace(b"\n", b""))


def storable(payload: bytes) -> msgspec.Raw:
    """The same of what is kept and read by others: it is nested no more deeply than may be.

    Raises:
        NotJson: It is none, or more deeply.
    """
    value = embeddable(payload)
    if len(payload) >= LEAST_TOO_DEEP_BYTES:
        try:
            check_depth(payload)
        except NestedTooDeeply as error:
            raise NotJson(str(error)) from None
    return value


def _value(text: str) -> msgspec.Raw:
    try:
        return _decode_raw(text)
    except msgspec.DecodeError:
        return _decode_raw(without_half_pairs(text))


class _Message(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Raw fields are ``embeddable``."""


class ClientInfo(_Message, frozen=True):
    user: str
    client: str
    conn_info: msgspec.Raw = NO_DATA
    chan_info: msgspec.Raw = NO_DATA


class Publication(_Message, frozen=True):
    data: msgspec.Raw
    info: ClientInfo | None = None  # of the client, where one published it
    offset: int = 0
    tags: dict[str, str] = {}
    delta: bool = False
    time: int = 0  # Unix, in milliseconds
    channel: str = ""


class Empty(_Message, frozen=True):
    """The result of unsubscribe and publish, and of send, which has no reply."""


EMPTY: Final = Empty()


class SubscribeResult(_Message, frozen=True):
    """``expires`` follows ``ttl``: the session sets it."""

    expires: bool = False
    ttl: int = 0  # in seconds; 0 is for ever
    recoverable: bool = False
    epoch: str = ""
    publications: list[Publication] = []
    recovered: bool = False
    offset: int = 0
    positioned: bool = False
    data: msgspec.Raw = NO_DATA
    was_recovering: bool = False
    delta: bool = False


class ConnectResult(_Message, frozen=True):
    """An authenticator gives ``ttl``, ``data`` and ``subs``; the session sets the others."""

    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: int = 0
    data: msgspec.Raw = NO_DATA
    subs: dict[str, SubscribeResult] = {}
    ping: int = 0
    pong: bool = False


class PresenceResult(_Message, frozen=True):
    presence: dict[str, ClientInfo]


class PresenceStatsResult(_Message, frozen=True):
    num_clients: int
    num_users: int


class HistoryResult(_Message, frozen=True):
    publications: list[Publication]
    epoch: str
    offset: int


class RpcResult(_Message, frozen=True):
    data: msgspec.Raw = NO_DATA


class RefreshResult(_Message, frozen=True):
    """``ttl`` is given; the session sets the others."""

    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: int = 0


class SubRefreshResult(_Message, frozen=True):
    expires: bool = False
    ttl: int = 0


Result = (
    ConnectResult | SubscribeResult | Empty | PresenceResult | PresenceStatsResult | HistoryResult
    | RpcResult | RefreshResult | SubRefreshResult
)  # fmt: skip


# Replies


def reply(command_id: int, name: str, result: Result) -> bytes:
    """``name``: of the command, as ``commands.name_of`` says."""
    return b'{"id":%d,"%b":%b}' % (command_id, name.encode(), _encode(result))


def error_reply(command_id: int, error: Error) -> bytes:
    return b'{"id":%d,"error":%b}' % (command_id, _encode(error))


# Pushes


class _Member(_Message, frozen=True):
    info: ClientInfo


class _End(_Message, frozen=True):
    code: int
    reason: str


class _Data(_Message, frozen=True):
    data: msgspec.Raw


class _Subscribed(_Message, frozen=True):
    recoverable: bool = False
    epoch: str = ""
    offset: int = 0
    positioned: bool = False
    data: msgspec.Raw = NO_DATA


def _channel_push(channel: str, name: bytes, message: _Message) -> bytes:
    return b'{"push":{"channel":%b,"%b":%b}}' % (_encode(channel), name, _encode(message))


def publication_push(channel: str, publication: Publication) -> bytes:
    """Once a publication, for however many sockets."""
    return b'{"push":{"channel":%b,"pub":%b}}' % (_encode(channel), _encode(publication))


def join_push(channel: str, info: ClientInfo) -> bytes:
    return _channel_push(channel, b"join", _Member(info))


def leave_push(channel: str, info: ClientInfo) -> bytes:
    return _channel_push(channel, b"leave", _Member(info))


def unsubscribe_push(channel: str, ended: Unsubscribed) -> bytes:
    return _channel_push(channel, b"unsubscribe", _End(*ended))


def subscribe_push(channel: str, result: SubscribeResult) -> bytes:
    """The server has subscribed this client."""
    subscribed = _Subscribed(
        result.recoverable, result.epoch, result.offset, result.positioned, result.data
    )
    return _channel_push(channel, b"subscribe", subscribed)


def message_push(data: msgspec.Raw) -> bytes:
    """JavaScript's SDK alone shows it to its application."""
    return b'{"push":{"message":%b}}' % _encode(_Data(data))


# Frames


def frames(messages: Sequence[bytes]) -> Iterator[bytes]:
    """Text frames of these messages, in order, up to 16 in each."""
    for start in range(0, len(messages), MESSAGES_PER_FRAME):
        yield b"\n".join(messages[start : start + MESSAGES_PER_FRAME])
