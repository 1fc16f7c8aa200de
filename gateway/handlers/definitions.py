"""What an application writes, and what its handlers are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from gateway.arguments import plain
from gateway.errors import ChannelLimit
from gateway.handlers.checks import WrongAnswer, check_handler, described
from gateway.handlers.expiry import unix_s
from gateway.handlers.hook_requests import Json, UnreadableJson, read
from gateway.handlers.hooks import Hooks
from gateway.protocol import channel_names
from gateway.protocol.envelopes.dispatching import ConnectionFacts
from gateway.protocol.ids import ConnectionId
from gateway.registry.base import Entry

OnMessage = Callable[["Message"], Awaitable[str | None]]
OnConnect = Callable[["Connection"], Awaitable["str | Admit | None"]]
OnDisconnect = Callable[["Connection"], Awaitable[None]]

MAX_USER_BYTES: Final = 256  # it is stored beside each of its connections

_Handler = TypeVar("_Handler", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class Connection:
    """One client socket, as handlers see it.

    Attributes:
        id: Its name, in all workers.
        user: Who the application said this is in ``on_connect``; None if it did not say.
        headers: Of the handshake, names in lower case; of a repeated header, the last one.
        query: The raw query string of the handshake's URL.
        address: Of the client; of the nearest untrusted proxy before it.
        subprotocols: What the client offered, in its order.
        expires_at: When it is closed with 3005, in Unix seconds: as ``on_connect`` said in its
            ``Admit``. None is never.
        info: What its token says that other clients are shown, as Python values; None if nothing.
            This and what follows is known once the client has connected: in ``on_connect`` of
            ``/communicate`` with a token; of a Centrifuge client in whatever comes after it.
        meta: What its token says for the application alone; None if nothing.
        data: What a Centrifuge client gave with its ``connect``; None if nothing.
    """

    id: str
    user: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = field(default="", repr=False)
    address: str = ""
    subprotocols: tuple[str, ...] = ()
    expires_at: float | None = None
    info: Json = field(default=None, repr=False)
    meta: Mapping[str, Json] | None = field(default=None, repr=False)
    data: Json = field(default=None, repr=False)


class Message(msgspec.Struct, frozen=True):
    """One message of a client.

    A struct for the price of making one, a fourth of that of a frozen dataclass.

    Attributes:
        text: What the client sent.
        connection: Who sent it.
        id: The same on every attempt: use it to do a thing once.
        attempt: 1, or more when workers died while they handled this message; 3 at most.
    """

    text: str
    connection: Connection
    id: str
    attempt: int = 1

    def __repr__(self) -> str:
        """Without its text, which is nobody's who reads a log."""
        said = f"connection={self.connection!r}, id={self.id!r}, attempt={self.attempt!r}"
        return f"Message({said})"


def of_facts(name: ConnectionId, facts: ConnectionFacts) -> Connection:
    """A connection as handlers know it."""
    return Connection(
        id=name,
        user=facts.user,
        headers=dict(facts.headers),
        query=facts.query,
        address=facts.address,
        subprotocols=facts.subprotocols,
        expires_at=facts.expires_unix_s,
        info=_shown(facts.presented.info),
        meta=_shown(facts.presented.meta),
        data=_shown(facts.presented.data),
    )


def _shown(json: bytes) -> Json:
    """What cannot be read is as if it had not been shown: the connection is there already."""
    try:
        return read(json)
    except UnreadableJson:
        return None


def of_entries(found: Iterable[tuple[ConnectionId, Entry]]) -> list[Connection]:
    """Connections as the registry has them: of the headers it keeps the user agent only."""
    return [of_facts(name, entry.facts) for name, entry in found]


class UserTooLong(ValueError):
    """A class of its own, since the log shows an exception's class and not its message."""


@dataclass(frozen=True, slots=True)
class Admit:
    """What ``on_connect`` returns to let a client in for a time, or into channels.

    The connection is closed with 3005 ``connection expired`` within a second after ``expires_at``,
    by the clock of the host that holds the socket. The client may come back, and is asked again.

    None of its messages is handled before it is subscribed to all ``channels``: whatever is
    published once the first answer is on its way reaches it. Between the 101 and that moment it may
    miss something. A channel that it cannot be subscribed to closes it: with 3004 if the broker is
    away, with 1011 if its namespace is not set up or its worker has too many channels.

    Attributes:
        user: Who it is, in at most 256 UTF-8 bytes; None if nobody knows.
        expires_at: Unix seconds, or a ``datetime`` with its time zone. None is never.
        channels: At most 128, each as for ``gateway.subscribe``.

    Raises:
        TypeError: The user is not a text, the time is neither number nor datetime, or the channels
            are no texts.
        BadChannel: No channel may be called that.
        ChannelLimit: There are too many.
        ValueError: The time has no time zone, is no number, or is after the year 9999.
        UserTooLong: The user has more than 256 UTF-8 bytes.
        UnicodeEncodeError: The user has half of a surrogate pair in it.
    """

    user: str | None = None
    expires_at: float | datetime | None = None
    channels: Sequence[str] = ()

    def __post_init__(self) -> None:
        user: object = self.user
        if user is not None and not isinstance(user, str):
            raise TypeError(f"user is {type(user).__name__}, not str or None")
        if user is not None and (size := len(user.encode())) > MAX_USER_BYTES:
            raise UserTooLong(f"user has {size} UTF-8 bytes, over the limit of {MAX_USER_BYTES}")
        _check_channels(self.channels)
        _ = self.expires_unix_s  # whoever makes a wrong one is told at once

    @property
    def expires_unix_s(self) -> float | None:
        """``expires_at`` as Unix seconds."""
        return unix_s(self.expires_at)


def _check_channels(channels: object) -> None:
    if isinstance(channels, str) or not isinstance(channels, Sequence):
        raise TypeError(f"channels is {type(channels).__name__}, not a list of names")
    for channel in channels:
        if not isinstance(channel, str):
            raise TypeError(f"a channel is {type(channel).__name__}, not str")
        channel_names.check(channel)
    if len(channels) > channel_names.MAX_CHANNELS_PER_CONNECTION:
        most = channel_names.MAX_CHANNELS_PER_CONNECTION
        raise ChannelLimit(f"a connection has {most} channels at most, not {len(channels)}")


def reply(returned: object, handler: object) -> str | None:
    """What ``on_message`` has returned, if that can be sent.

    Raises:
        WrongAnswer: It cannot; the text names the handler.
    """
    if returned is None:
        return None
    if isinstance(returned, str):
        return plain(returned)
    kind = type(returned).__name__
    raise WrongAnswer(
        f"the on_message handler {described(handler)} returned {kind}, not str or None: "
        "make it a text, with json.dumps for instance"
    )


def decision(returned: object, handler: object) -> Admit:
    """What ``on_connect`` means by what it has returned.

    Raises:
        TypeError: It may not return that.
        ValueError: The user is too long, or no Unicode (``Admit``).
    """
    if isinstance(returned, Admit):
        return returned
    if returned is None or isinstance(returned, str):
        return Admit(returned)
    kind = type(returned).__name__
    raise WrongAnswer(
        f"the on_connect handler {described(handler)} returned {kind}, not str, None or Admit"
    )


class Handlers:
    """The handlers of one application, one of each kind, and its hooks, one of each pattern."""

    def __init__(self) -> None:
        self.on_message: OnMessage | None = None
        self.on_connect: OnConnect | None = None
        self.on_disconnect: OnDisconnect | None = None
        self.hooks = Hooks()

    def set(self, kind: str, handler: _Handler) -> _Handler:
        """Register ``handler``.

        Raises:
            TypeError: It is not an ``async def`` function of one argument.
            ValueError: There is one of this kind already.
        """
        check_handler(kind, handler, wanted="message" if kind == "on_message" else "connection")
        if getattr(self, kind) is not None:
            name = described(handler)
            raise ValueError(f"{name}: this gateway has an {kind} handler already")
        setattr(self, kind, handler)
        return handler
