"""What is refused by what it is, before anything is looked up, and with which code."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from gateway.close_codes import BAD_REQUEST, Close
from gateway.close_codes import NOT_AVAILABLE as NOBODY_LISTENS
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import (
    NO_DATA,
    Connect,
    History,
    Publish,
    Refresh,
    Request,
    Send,
    SubRefresh,
    Subscribe,
    Unknown,
    Unsubscribe,
)
from gateway.protocol.channel_messages import MAX_PUBLICATION_BYTES
from gateway.protocol.channel_names import MAX_CHANNEL_BYTES, MAX_CHANNELS_PER_CONNECTION
from gateway.protocol.recovery import MAX_READ

_printable: Final = re.compile(r"[ -~]*").fullmatch
_NULL: Final = msgspec.Raw(b"null")


class Limits(NamedTuple):
    """Bounds of one connection; at each it still works."""

    channels: int = MAX_CHANNELS_PER_CONNECTION
    channel_bytes: int = MAX_CHANNEL_BYTES
    publication_bytes: int = MAX_PUBLICATION_BYTES
    history_publications: int = MAX_READ
    presence_members: int = 1000
    in_flight: int = 256  # commands without a reply; from here on the socket is not read
    in_flight_bytes: int = 256 << 10


LIMITS: Final = Limits()


def refusal(
    request: Request, *, available: frozenset[type[Request]], limits: Limits
) -> Close | Error | None:
    """Whether a command of a connected client is refused for what it is.

    Args:
        available: What there is beyond connect and unsubscribe.

    Returns:
        A close where the client does not speak the protocol, or an error; None if it may go on.
    """
    if isinstance(request, Unknown):
        return codes.METHOD_NOT_FOUND
    channel = getattr(request, "channel", None)
    if channel == "":
        return BAD_REQUEST
    if type(request) not in available and not isinstance(request, (Connect, Unsubscribe)):
        return NOBODY_LISTENS if isinstance(request, Send) else codes.NOT_AVAILABLE
    if channel is not None and (len(channel) > limits.channel_bytes or _printable(channel) is None):
        return codes.BAD_REQUEST
    if isinstance(request, Publish):
        return _publish(request, limits.publication_bytes)
    return _by_kind(request)


MAX_NAME: Final = 16  # characters of what a client calls itself
MAX_VERSION: Final = 64


def connect_refusal(request: Connect) -> Error | None:
    """Whether a connect is refused for what it is."""
    if len(request.name) > MAX_NAME or len(request.version) > MAX_VERSION:
        return codes.BAD_REQUEST
    return None


def _by_kind(request: Request) -> Close | Error | None:
    match request:
        case Subscribe():
            return _subscribe(request)
        case History(reverse=True, since=since) if since is not None and not since.offset:
            return codes.BAD_REQUEST  # nothing is before the first
        case Refresh(token=""):
            return BAD_REQUEST
        case SubRefresh():
            return _sub_refresh(request)
        case _:
            return None


def _subscribe(request: Subscribe) -> Error | None:
    if request.type or request.phase:
        return codes.NOT_AVAILABLE  # map subscriptions and shared polls
    if request.tf not in (NO_DATA, _NULL):
        return codes.BAD_REQUEST  # a filter by tags, which no namespace allows
    return None


def _publish(request: Publish, max_bytes: int) -> Error | None:
    if request.type or request.key or request.removed:
        return codes.NOT_AVAILABLE
    size_bytes = memoryview(request.data).nbytes
    if not size_bytes:
        return codes.BAD_REQUEST
    if size_bytes > max_bytes:
        return codes.LIMIT_EXCEEDED
    return None


def _sub_refresh(request: SubRefresh) -> Close | Error | None:
    if request.type:
        return codes.NOT_AVAILABLE
    if not request.token:
        return BAD_REQUEST
    return None
