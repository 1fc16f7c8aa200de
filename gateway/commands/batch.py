"""Several commands begun in their order and waited for together, for whoever asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, assert_never

from gateway.channel_broker.base import Stored
from gateway.channels.publisher import Publisher, check_together
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
from gateway.errors import GatewayError
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol import channel_names
from gateway.protocol.receipt import Receipt, Sent

Done = Stored | list[Stored | Exception] | Receipt | list[Sent]
"""What became of one: of a broadcast in each of its channels."""


def check_bounds(commands: Sequence[Command | Exception]) -> None:
    """Whether so much may be asked for at once.

    Args:
        commands: Of publications the data is JSON already, as ``run`` takes it.

    Raises:
        ValueError: It may not.
    """
    # Lists: a generator would be a call for each.
    sizes = [_size(each) for each in commands if isinstance(each, Publish | Broadcast)]
    check_together(items_of(commands), sum(sizes))


def items_of(commands: Sequence[Command | Exception]) -> int:
    """How many things are to be done: a broadcast is one for each of its channels."""
    more = [len(each.channels) - 1 for each in commands if isinstance(each, Broadcast)]
    return len(commands) + sum(more)


async def run(
    commands: Sequence[Command | Exception],
    *,
    publisher: Publisher | None,
    requests: RequestsToUsers,
) -> list[Done | Exception]:
    """Begin all that is asked for in order, and then wait for all of it.

    What is published is given to the broker in one turn of the loop: it leaves in one pipeline.
    Cancelling takes nothing back.

    Args:
        commands: Of publications the data is JSON, a ``msgspec.Raw`` as
            ``centrifuge.replies.embeddable`` makes it. An error in the place of a command is what
            became of it.
        publisher: None where nothing is to be published.

    Returns:
        For each what became of it, or why nobody knows that it was done. One that fails, or is
        broken off alone, stops no other.
    """
    begun = [_begin(each, publisher, requests) for each in commands]
    waited_for = [each for some in begun if not isinstance(some, Exception) for each in some]
    await asyncio.gather(*waited_for, return_exceptions=True)
    return [_done(command, some) for command, some in zip(commands, begun, strict=True)]


def publish(publisher: Publisher, command: Publish, data: bytes) -> asyncio.Future[Stored]:
    """Publish ``data``, and wait for nothing. Raises as ``Publisher.publish``."""
    return publisher.publish(
        command.channel,
        data,
        tags=command.tags,
        idempotency_key=command.idempotency_key or "",
        version=command.version,
        skip_history=not command.history,
    )


def broadcast(
    publisher: Publisher, command: Broadcast, data: bytes
) -> Sequence[asyncio.Future[Stored]]:
    """The same to each channel. Raises as ``Publisher.broadcast``."""
    return publisher.broadcast(
        command.channels,
        data,
        tags=command.tags,
        idempotency_key=command.idempotency_key or "",
        version=command.version,
        skip_history=not command.history,
    )


def to_connection(
    requests: RequestsToUsers, command: Send | Disconnect | Subscribe | Unsubscribe
) -> Coroutine[Any, Any, Receipt]:
    """What does it to one connection once it is awaited. That raises as ``RequestsToOwners`` does.

    Raises:
        BadChannel: No channel may be called that.
    """
    sender = requests.sender
    match command:
        case Send():
            return sender.send(command.connection, command.text, key=command.key)
        case Disconnect():
            return sender.disconnect(command.connection, command.code, command.reason)
        case Subscribe():
            channel_names.check(command.channel)
            return sender.subscribe(command.connection, command.channel)
        case Unsubscribe():
            channel_names.check(command.channel)
            return sender.unsubscribe(command.connection, command.channel)
        case _:
            assert_never(command)


def to_user(
    requests: RequestsToUsers, command: SendToUser | DisconnectUser
) -> Coroutine[Any, Any, list[Sent]]:
    """The same to each connection of a user. That raises as ``RequestsToUsers`` does."""
    if isinstance(command, SendToUser):
        return requests.send(command.user, command.text, key=command.key)
    return requests.disconnect(command.user, command.code, command.reason)


def _begin(
    command: Command | Exception, publisher: Publisher | None, requests: RequestsToUsers
) -> Sequence[asyncio.Future[Any]] | Exception:
    if isinstance(command, Exception):
        return command
    try:
        match command:
            case Publish():
                assert publisher is not None
                return [publish(publisher, command, bytes(command.data))]
            case Broadcast():
                assert publisher is not None
                return broadcast(publisher, command, bytes(command.data))
            case SendToUser() | DisconnectUser():
                return [asyncio.ensure_future(to_user(requests, command))]
            case _:
                return [asyncio.ensure_future(to_connection(requests, command))]
    except Exception as error:
        return error


def _done(
    command: Command | Exception, begun: Sequence[asyncio.Future[Any]] | Exception
) -> Done | Exception:
    if isinstance(begun, Exception):
        return begun
    each = [outcome(one) for one in begun]
    return each if isinstance(command, Broadcast) else each[0]


def outcome(ended: asyncio.Future[Any]) -> Any:
    """Of one of several that all have ended: its result, or its error.

    One that alone was cancelled has an error as well: that is no end of the others.
    """
    if ended.cancelled():
        return GatewayError("broken off, and may have been done: look before you try it again")
    error = ended.exception()
    return ended.result() if error is None else error


def _size(publication: Publish | Broadcast) -> int:
    size = len(bytes(publication.data))
    if publication.tags:
        size += sum(len(part.encode()) for tag in publication.tags.items() for part in tag)
    return size * len(publication.channels) if isinstance(publication, Broadcast) else size
