"""Several commands in one request: what each says, and how many there may be.

A command has the name of a verb, and its members those of the single call's parameters. What is
malformed of one is its own problem, not that of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from gateway.channels.publisher import MAX_TOGETHER, MAX_TOGETHER_BYTES, MAX_VERSION
from gateway.errors import Disconnected, check_close
from gateway.http_api.answers import Problem
from gateway.http_api.call import KEY_HEADERS, MAX_KEY_LENGTH, Call, key_of, text_of
from gateway.protocol.centrifuge.commands import without_half_pairs
from gateway.protocol.centrifuge.replies import NotJson, embeddable

MAX_ITEMS: Final = MAX_TOGETHER

Name = Annotated[str, msgspec.Meta(min_length=1)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY_LENGTH)] | None
Version = Annotated[int, msgspec.Meta(ge=0, le=MAX_VERSION)]


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    """A misspelt member would be one that is not applied."""


class _Publication(_Command, kw_only=True):
    data: msgspec.Raw
    tags: dict[str, str] = {}
    version: Version = 0
    history: bool = True
    idempotency_key: Key = None

    def __post_init__(self) -> None:
        try:
            self.data = embeddable(bytes(self.data))
        except NotJson as error:
            raise ValueError(f"data is no JSON value: {error}") from None


class Publish(_Publication, kw_only=True):
    channel: str

    @property
    def channels(self) -> Sequence[str]:
        return [self.channel]


class Broadcast(_Publication, kw_only=True):
    channels: Annotated[list[str], msgspec.Meta(min_length=1)]


class Send(_Command, kw_only=True):
    connection: str
    text: str
    idempotency_key: Key = None


class SendToUser(_Command, kw_only=True):
    user: Name
    text: str
    idempotency_key: Key = None


class _Closing(_Command, kw_only=True):
    code: int = Disconnected.close_code
    reason: str = Disconnected.reason

    def __post_init__(self) -> None:
        check_close(self.code, self.reason)


class Disconnect(_Closing, kw_only=True):
    connection: str


class DisconnectUser(_Closing, kw_only=True):
    user: Name


class Subscribe(_Command, kw_only=True):
    connection: str
    channel: str


class Unsubscribe(_Command, kw_only=True):
    connection: str
    channel: str


Command = (
    Publish | Broadcast | Send | SendToUser | Disconnect | DisconnectUser | Subscribe | Unsubscribe
)
VERBS: Final[Mapping[str, type[Command]]] = {
    "publish": Publish,
    "broadcast": Broadcast,
    "send": Send,
    "send_to_user": SendToUser,
    "disconnect": Disconnect,
    "disconnect_user": DisconnectUser,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
}


class _Batch(_Command, kw_only=True):
    commands: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]


T = TypeVar("T")
_readers: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    verb: msgspec.json.Decoder(kind) for verb, kind in VERBS.items()
}
_read_batch: Final = msgspec.json.Decoder(_Batch)
_read_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def broadcast_of(call: Call) -> Broadcast:
    """The one of this request; its key is that of the headers, where its body has none.

    Raises:
        Problem: It is malformed, or over a bound.
    """
    broadcast: Broadcast = _read(_readers["broadcast"], _json_of(call))
    if broadcast.idempotency_key is None:
        broadcast.idempotency_key = key_of(call)
    check_bounds([broadcast])
    return broadcast


def commands_of(call: Call) -> list[Command | Problem]:
    """Those of this request, in order; in the place of one that is malformed what is wrong with it.

    Raises:
        Problem: The request itself is malformed, or over a bound.
    """
    if KEY_HEADERS[0] in call.headers:
        raise Problem(400, "each command has its own idempotency_key: leave out Idempotency-Key")
    said = _read(_read_batch, _json_of(call)).commands
    _check_items(len(said))  # before any is read: a body has room for half a million
    commands = [_command(each) for each in said]
    check_bounds(commands)
    return commands


def items_of(commands: Sequence[Command | Problem]) -> int:
    """How many things are to be done: a broadcast is one for each of its channels."""
    return sum(len(each.channels) if isinstance(each, Broadcast) else 1 for each in commands)


def check_bounds(commands: Sequence[Command | Problem]) -> None:
    """Whether so much may be asked for at once.

    Raises:
        Problem: It may not, and nothing is done.
    """
    _check_items(items_of(commands))
    size = sum(_size(each) for each in commands if isinstance(each, Publish | Broadcast))
    if size > MAX_TOGETHER_BYTES:
        message = (
            f"{size} bytes are to be published, the data once for each channel, over the limit of "
            f"{MAX_TOGETHER_BYTES} in one request: send fewer"
        )
        raise Problem(413, message)


def _check_items(items: int) -> None:
    if items > MAX_ITEMS:
        raise Problem(413, f"{items} in one request, over the limit of {MAX_ITEMS}: send fewer")


def _size(publication: Publish | Broadcast) -> int:
    tags = sum(len(part.encode()) for tag in publication.tags.items() for part in tag)
    return (len(bytes(publication.data)) + tags) * len(publication.channels)


def _command(said: msgspec.Raw) -> Command | Problem:
    try:
        members = _read(_read_members, said)
        if len(members) == 1 and members.keys() <= VERBS.keys():
            [(verb, asked)] = members.items()
            command: Command = _read(_readers[verb], asked)
            return command
    except Problem as problem:
        return problem
    known = ", ".join(VERBS)
    return Problem(400, f'a command is {{"VERB": {{…}}}}, and the verbs are {known}')


def _json_of(call: Call) -> str:
    text = text_of(call)
    try:
        _check_json(text)
    except (msgspec.DecodeError, RecursionError):
        return without_half_pairs(text)
    return text


_check_json: Final = msgspec.json.Decoder(msgspec.Raw).decode


def _read(reader: msgspec.json.Decoder[T], said: msgspec.Raw | str) -> T:
    try:
        return reader.decode(said)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Problem(400, str(error)) from None
