"""How a connection begins: who we are, and that the server is one that takes our writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.node import check_server, subject
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.writing import Command

HELLO: Final[Command] = ("HELLO", 2)


def greeting_of(address: RedisAddress, name: str) -> list[Command]:
    """What a new connection says, called ``name`` in the server's list of clients."""
    commands: list[Command] = []
    if address.password is not None:
        user = (address.username,) if address.username else ()
        commands.append(("AUTH", *user, address.password))
    commands.append(("CLIENT", "SETNAME", name))
    if address.database:
        commands.append(("SELECT", address.database))
    # Last: while the server loads, or has lost its primary, PING is refused and HELLO is not.
    return [*commands, HELLO, ("PING",)]


def check_greeting(
    greeting: Sequence[Command], replies: Sequence[Any], address: RedisAddress
) -> None:
    """See that all was taken, and by a server that takes writes. Its node is told of a refusal.

    Raises:
        BrokerUnavailable: It is no such server, or refuses us.
    """
    for command, reply in zip(greeting, replies, strict=True):
        if isinstance(reply, ReplyError):
            if command == HELLO and "unknown command" in str(reply):
                continue  # before Redis 6: it is believed to be what it should be
            address.node.refused(str(reply), subject(command))
            raise BrokerUnavailable(f"refuses {subject(command)}: {reply}")
        if command == HELLO:
            check_server(reply, cluster=address.cluster is not None)
