"""Users with several devices, each a connection of its own."""

from __future__ import annotations

from urllib.parse import parse_qs

from gateway import Connection, Gateway, Message

gateway = Gateway()


@gateway.on_connect
async def who_is_it(connection: Connection) -> str:
    """Believe everybody. An example, after all."""
    return parse_qs(connection.query).get("user", ["nobody"])[0]


@gateway.on_message
async def answer(message: Message) -> str:
    return f"you are {message.connection.user}"
