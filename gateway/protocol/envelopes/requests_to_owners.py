"""What is asked of the owner of a connection, by any process, and how it answers."""

from __future__ import annotations

import msgspec

from gateway.protocol.envelopes.kinds import Envelope, register
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt


@register
class Send(Envelope, tag=14, frozen=True):
    """To the owner: write this to a socket. Answered by ``Receipted``.

    A ``key`` that was written within the last minute is not written again. What asks ``unlinked``
    is no worker: it is answered outside of any link, at most once.
    """

    connection: ConnectionId
    number: int
    text: str
    key: str | None = None
    unlinked: bool = False


@register
class Disconnect(Envelope, tag=15, frozen=True):
    """To the owner: close a socket. Answered by ``Receipted``."""

    connection: ConnectionId
    number: int
    code: int
    reason: str
    unlinked: bool = False


@register
class Inquire(Envelope, tag=16, frozen=True):
    """To the owner: what of this connection? Answered by ``Receipted`` with its particulars."""

    connection: ConnectionId
    number: int
    unlinked: bool = False


@register
class SubscribeConnection(Envelope, tag=19, frozen=True):
    """To the owner: subscribe a connection to a channel. Answered by ``Receipted``, with WRITTEN
    once it is subscribed, also if it was already. An owner of a release without channels does not
    answer.
    """

    connection: ConnectionId
    number: int
    channel: str
    unlinked: bool = False


@register
class UnsubscribeConnection(Envelope, tag=20, frozen=True):
    """To the owner: unsubscribe a connection. Answered by ``Receipted``: WRITTEN, also if it was
    not subscribed.
    """

    connection: ConnectionId
    number: int
    channel: str
    unlinked: bool = False


@register
class ListChannels(Envelope, tag=21, frozen=True):
    """To a worker that holds sockets: which channels have subscribers there, by name?

    Answered by ``Receipted`` with at most ``limit`` of them. A worker of an older release does not
    answer.
    """

    number: int
    pattern: str
    after: str
    limit: int
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
    ping_unanswered_ms: int | None = None  # so long has a ping waited; also None when none waits
    channels: tuple[str, ...] | None = None  # that it is subscribed to, by name


@register
class Receipted(Envelope, tag=17, frozen=True):
    """The owner's answer: what became of it. ``receipt`` is one of gateway.protocol.receipt.

    ``error`` is the code of one of gateway.errors: it was not done for that reason. ``channels``
    answers ``ListChannels``: names, and how many subscribers each has there.
    """

    connection: ConnectionId
    number: int
    receipt: Receipt
    particulars: Particulars | None = None
    error: str | None = None
    channels: tuple[tuple[str, int], ...] | None = None


OwnerQuestion = Send | Disconnect | Inquire | SubscribeConnection | UnsubscribeConnection
Question = OwnerQuestion | ListChannels
