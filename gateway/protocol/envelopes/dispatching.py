"""What edges and handling workers say to each other about a connection's events."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gateway.protocol.envelopes.hooks import HookAnswered, HookDenied
from gateway.protocol.envelopes.kinds import Envelope, register
from gateway.protocol.ids import ConnectionId


class Presented(NamedTuple):
    """What a client shows as it connects, for handlers; each is JSON, or empty.

    Attributes:
        info: Of its token: what other clients are shown.
        meta: Of its token: an object for the application alone.
        data: Of its ``connect``.
    """

    info: bytes = b""
    meta: bytes = b""
    data: bytes = b""


class ConnectionFacts(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is known of a connection since its handshake, or its ``connect``."""

    user: str | None
    address: str
    query: str
    headers: tuple[tuple[str, str], ...]
    subprotocols: tuple[str, ...]
    expires_unix_s: float | None = None
    presented: Presented = Presented()


@register
class Introduce(Envelope, tag=1, frozen=True):
    """Edge to handler: what to know about a connection, before its first dispatch."""

    connection: ConnectionId
    facts: ConnectionFacts


@register
class Forget(Envelope, tag=2, frozen=True):
    """Edge to handler: nothing more comes of this connection. Not answered."""

    connection: ConnectionId


@register
class Dispatch(Envelope, tag=3, frozen=True):
    """Edge to handler: one message of a client."""

    connection: ConnectionId
    number: int
    attempt: int
    text: str


@register
class DispatchConnect(Envelope, tag=4, frozen=True):
    """Edge to handler: may this connection be opened?"""

    connection: ConnectionId
    number: int
    attempt: int


@register
class DispatchDisconnect(Envelope, tag=5, frozen=True):
    """Edge or sweeper to handler: this connection has ended."""

    connection: ConnectionId
    number: int
    attempt: int
    code: int
    reason: str


@register
class Reply(Envelope, tag=6, frozen=True):
    """Handler to edge: this message is answered; None is an answer without a frame."""

    connection: ConnectionId
    number: int
    attempt: int
    text: str | None


@register
class Failed(Envelope, tag=7, frozen=True):
    """Handler to edge: the handler did not answer. ``code`` is one of gateway.errors."""

    connection: ConnectionId
    number: int
    attempt: int
    code: str


@register
class Admitted(Envelope, tag=8, frozen=True):
    """Handler to edge: open it, until then; ``user`` is who the application says this is.

    Its first message is handled once it is subscribed to ``channels``.
    """

    connection: ConnectionId
    number: int
    attempt: int
    user: str | None
    expires_unix_s: float | None = None
    channels: tuple[str, ...] = ()


@register
class Rejected(Envelope, tag=9, frozen=True):
    """Handler to edge: accept it and close it with this code and reason."""

    connection: ConnectionId
    number: int
    attempt: int
    code: int
    reason: str


@register
class Blocking(Envelope, tag=18, frozen=True):
    """Handler to edge, outside of any link: its event loop is held by the handler of this."""

    connection: ConnectionId
    number: int
    attempt: int


Answer = Reply | Failed | Admitted | Rejected | HookAnswered | HookDenied
