"""Several commands in one request: what each says, and how many there may be.

A command has the name of a verb, and its members those of the single call's parameters. What is
malformed of one is its own problem, not that of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from gateway.channels.publisher import MAX_TOGETHER, check_together
from gateway.commands import batch
from gateway.commands.definitions import (
    Broadcast,
    Command,
    Disconnect,
    DisconnectUser,
    Publish,
    Send,
    SendToUser,
    Subscribe,
    Unsubscribe,
)
from gateway.http_api.answers import Problem
from gateway.http_api.call import KEY_HEADERS, Call, key_of
from gateway.http_api.json_bodies import json_of, members_of, read
from gateway.protocol.centrifuge.replies import NotJson, storable

MAX_ITEMS: Final = MAX_TOGETHER


class PublishJson(Publish, frozen=True, kw_only=True):
    """One whose data is JSON as it came."""

    channel: str
    data: msgspec.Raw
    tags: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        _take_data(self)  # the rest its reader has checked


class BroadcastJson(Broadcast, frozen=True, kw_only=True):
    """The same to several channels."""

    channels: Annotated[list[str], msgspec.Meta(min_length=1)]
    data: msgspec.Raw
    tags: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        _take_data(self)  # the rest its reader has checked


VERBS: Final[Mapping[str, type[Command]]] = {
    "publish": PublishJson,
    "broadcast": BroadcastJson,
    "send": Send,
    "send_to_user": SendToUser,
    "disconnect": Disconnect,
    "disconnect_user": DisconnectUser,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
}


class _Batch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    commands: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]


_readers: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    verb: msgspec.json.Decoder(kind) for verb, kind in VERBS.items()
}
_read_batch: Final = msgspec.json.Decoder(_Batch)


def broadcast_of(call: Call) -> Broadcast:
    """The one of this request; its key may be in the headers as well as in the body.

    Raises:
        Problem: It is malformed, or over a bound; or its two keys differ.
    """
    broadcast: Broadcast = _read("broadcast", json_of(call))
    key, own = key_of(call), broadcast.idempotency_key
    if own is None:
        # ``replace`` would read its data once more.
        msgspec.structs.force_setattr(broadcast, "idempotency_key", key)
    elif call.headers.get(KEY_HEADERS[0], own) != own:
        raise Problem(
            400,
            "the header Idempotency-Key and the body's idempotency_key differ: give one of them, "
            "or the same twice",
        )
    check_bounds([broadcast])
    return broadcast


def commands_of(call: Call) -> list[Command | Problem]:
    """Those of this request, in order; in the place of one that is malformed what is wrong with it.

    Raises:
        Problem: The request itself is malformed, or over a bound.
    """
    if KEY_HEADERS[0] in call.headers:
        raise Problem(400, "each command has its own idempotency_key: leave out Idempotency-Key")
    text = json_of(call)
    members_of(text)
    said = read(_read_batch, text).commands
    _checked(lambda: check_together(len(said), 0))  # before any is read: a body has room for 500000
    commands = [_command(each) for each in said]
    check_bounds(commands)
    return commands


def check_bounds(commands: Sequence[Command | Problem]) -> None:
    """Whether so much may be asked for at once.

    Raises:
        Problem: It may not, and nothing is done.
    """
    _checked(lambda: batch.check_bounds(commands))


def publish_of(line: str) -> Publish:
    """The publication that a JSON object is.

    Raises:
        Problem: It is none.
    """
    publish: Publish = _read("publish", line)
    return publish


def _command(said: msgspec.Raw) -> Command | Problem:
    try:
        members = members_of(said)
        if len(members) == 1 and members.keys() <= VERBS.keys():
            [(verb, asked)] = members.items()
            command: Command = _read(verb, asked)
            return command
    except Problem as problem:
        return problem
    known = ", ".join(VERBS)
    return Problem(400, f'a command is {{"VERB": {{…}}}}, and the verbs are {known}')


def _read(verb: str, said: msgspec.Raw | str) -> Any:
    tags = members_of(said).get("tags")
    command = read(_readers[verb], said)
    if tags is not None:
        members_of(tags)
    return command


def _checked(check: Callable[[], None]) -> None:
    try:
        check()
    except ValueError as error:
        raise Problem(413, f"{error}: send fewer") from None


def _take_data(publication: PublishJson | BroadcastJson) -> None:
    try:
        data = storable(bytes(publication.data))
    except NotJson as error:
        raise ValueError(f"data is no JSON value: {error}") from None
    msgspec.structs.force_setattr(publication, "data", data)
