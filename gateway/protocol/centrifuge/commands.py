"""What clients say: text frames of JSON commands, one a line.

Unknown fields are skipped, so that newer clients may ask for more than there is. ``data`` stays
the JSON that the client wrote, byte for byte; it has no newline, as that would part a command.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, NamedTuple

import msgspec

from gateway.close_codes import BAD_REQUEST, Close

MAX_U64: Final = 2**64 - 1
NO_DATA: Final = msgspec.Raw()

U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U64 = Annotated[int, msgspec.Meta(ge=0)]  # JSON has no bound of its own, see below


def _within_u64(number: int) -> None:
    if number > MAX_U64:
        raise ValueError("expected at most 64 bits")


class _Request(msgspec.Struct, frozen=True, gc=False):
    """Fields have the names and the defaults of the protocol. Only what differs is explained."""


class Subscribe(_Request, frozen=True):
    """``type`` to ``asc`` are of map subscriptions; there are none."""

    channel: str = ""
    token: str = ""
    recover: bool = False
    epoch: str = ""
    offset: U64 = 0  # absent means 0, also with ``recover``
    data: msgspec.Raw = NO_DATA
    positioned: bool = False
    recoverable: bool = False
    join_leave: bool = False
    delta: str = ""
    tf: msgspec.Raw = NO_DATA
    flag: int = 0
    type: int = 0
    phase: int = 0
    cursor: str = ""
    limit: int = 0
    asc: bool = False

    REJECT_UNRECOVERED = 2  # a bit of ``flag``: rather error 112 than ``recovered`` false

    def __post_init__(self) -> None:
        _within_u64(self.offset)

    @property
    def rejects_unrecovered(self) -> bool:
        return bool(self.flag & self.REJECT_UNRECOVERED)


class Connect(_Request, frozen=True):
    """``subs``: positions from which to recover what the server subscribes this client to."""

    token: str = ""
    data: msgspec.Raw = NO_DATA
    subs: dict[str, Subscribe] = {}
    name: str = ""
    version: str = ""
    headers: dict[str, str] = {}


class Unsubscribe(_Request, frozen=True):
    channel: str = ""


class Publish(_Request, frozen=True):
    """``type``, ``key`` and ``removed`` are of map subscriptions; there are none."""

    channel: str = ""
    data: msgspec.Raw = NO_DATA
    type: int = 0
    key: str = ""
    removed: bool = False


class Presence(_Request, frozen=True):
    channel: str = ""


class PresenceStats(_Request, frozen=True):
    channel: str = ""


class StreamPosition(_Request, frozen=True):
    """An empty epoch is any."""

    offset: U64 = 0
    epoch: str = ""

    def __post_init__(self) -> None:
        _within_u64(self.offset)


class History(_Request, frozen=True):
    """``limit``: 0 asks for the position alone, and less than 0 for all."""

    channel: str = ""
    limit: int = 0
    since: StreamPosition | None = None
    reverse: bool = False


class Rpc(_Request, frozen=True):
    method: str = ""
    data: msgspec.Raw = NO_DATA


class Send(_Request, frozen=True):
    """A message to the application. It has no id and no reply."""

    data: msgspec.Raw = NO_DATA

    def text(self) -> str:
        """What the application is given: JSON without white space, ``null`` if there is no data.

        Raises:
            ValueError: It is nested too deeply.
        """
        try:
            return msgspec.json.format(bytes(self.data).decode() or "null", indent=-1)
        except RecursionError as error:
            raise ValueError(str(error)) from None


class Refresh(_Request, frozen=True):
    token: str = ""


class SubRefresh(_Request, frozen=True):
    """``type`` 1 and 2 are of shared polls; there are none."""

    channel: str = ""
    token: str = ""
    type: int = 0


class Pong(_Request, frozen=True):
    """The answer to the server's ping: ``{}``."""


class Ping(_Request, frozen=True):
    """In the protocol's schema, and not for clients: the server pings."""


class Unknown(_Request, frozen=True):
    """It has an id, so it can be refused, and nothing that we know."""


# In the order in which ``isinstance`` asks: most commands are a publish.
OnChannel = Publish | Subscribe | Unsubscribe | Presence | PresenceStats | History | SubRefresh
Request = Connect | OnChannel | Rpc | Send | Refresh | Pong | Unknown


class Command(msgspec.Struct, frozen=True, gc=False):
    """One command.

    ``id`` is the client's, 0 where nothing is to be replied. ``size_bytes`` is of its line.
    """

    id: int
    request: Request
    size_bytes: int = 0


class Malformed(NamedTuple):
    """What is no command. The connection ends with ``close``; ``why`` is for the log."""

    why: str
    close: Close = BAD_REQUEST


class _Line(msgspec.Struct, frozen=True, gc=False):
    """A command as it is written. The first request that is not null counts, in this order."""

    id: U32 = 0
    connect: Connect | None = None
    subscribe: Subscribe | None = None
    unsubscribe: Unsubscribe | None = None
    publish: Publish | None = None
    presence: Presence | None = None
    presence_stats: PresenceStats | None = None
    history: History | None = None
    ping: Ping | None = None
    rpc: Rpc | None = None
    send: Send | None = None
    refresh: Refresh | None = None
    sub_refresh: SubRefresh | None = None

    def request(self) -> Request | Ping | None:
        return (
            self.connect or self.subscribe or self.unsubscribe or self.publish or self.presence
            or self.presence_stats or self.history or self.ping or self.rpc or self.send
            or self.refresh or self.sub_refresh
        )  # fmt: skip


_decode_line: Final = msgspec.json.Decoder(_Line).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)

# Escapes in JSON strings of a surrogate without the other one of its pair. Backslashes that are
# escaped are out of the way before: what is behind one is no escape.
_HALF_PAIR: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F])\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_BACKSLASH: Final = r"\\"
_ASIDE: Final = "\ud800"  # in no text that was read


def decode(text: str) -> list[Command | Malformed]:
    """Read a text frame, in order. Nothing after the first ``Malformed``, which ends it.

    One newline at the end is allowed, an empty line is not.
    """
    found: list[Command | Malformed] = []
    for line in text.removesuffix("\n").split("\n"):
        command = decode_line(line)
        found.append(command)
        if isinstance(command, Malformed):
            break
    return found


def parts(text: str, most: int) -> list[str]:
    """A text frame as several that say the same in their order, of ``most`` commands at most."""
    if text.count("\n") < most:
        return [text]
    lines = text.removesuffix("\n").split("\n")
    # Each ends its line: an empty one at the end of a part is still one.
    return ["\n".join(lines[at : at + most]) + "\n" for at in range(0, len(lines), most)]


def decode_line(line: str) -> Command | Malformed:
    """Read a text frame, or a part of one, that has no newline."""
    try:
        try:
            read = _decode_line(line)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            read = _decode_line(without_half_pairs(line))
    except _UNREADABLE as error:
        return Malformed(f"unreadable: {error}")
    request = read.request()
    if isinstance(request, Ping):
        return Malformed("a ping: the server sends those")
    size_bytes = len(line) if line.isascii() else len(line.encode())
    if isinstance(request, Send):
        return Command(0, request, size_bytes)
    if read.id:
        return Command(read.id, request or Unknown(), size_bytes)
    if request is None:
        return Command(0, Pong())
    return Malformed(f"{name_of(request)} without an id")


def without_half_pairs(text: str) -> str:
    """JSON in which escapes of half a surrogate pair are U+FFFD.

    JavaScript writes them where a string was cut inside of an emoji. They are JSON by its grammar,
    but no text, and few can read them.
    """
    aside = text.replace(_BACKSLASH, _ASIDE)  # calls nothing for each: a client may send many
    return _HALF_PAIR.sub(r"\\ufffd", aside).replace(_ASIDE, _BACKSLASH)


NAMES: Final[dict[type[Request], str]] = {
    Connect: "connect",
    Subscribe: "subscribe",
    Unsubscribe: "unsubscribe",
    Publish: "publish",
    Presence: "presence",
    PresenceStats: "presence_stats",
    History: "history",
    Rpc: "rpc",
    Send: "send",
    Refresh: "refresh",
    SubRefresh: "sub_refresh",
    Pong: "pong",
    Unknown: "unknown",
}


def name_of(request: Request) -> str:
    """As the command and its result are called."""
    return NAMES[type(request)]
