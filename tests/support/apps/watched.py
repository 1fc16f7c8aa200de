"""An application that is looked at: users are called what the query says, whatever that is."""

from __future__ import annotations

from urllib.parse import unquote

from gateway import Connection, Gateway, Message

gateway = Gateway()


@gateway.on_connect
async def name(connection: Connection) -> str | None:
    return unquote(connection.query) or None


@gateway.on_message
async def repeat(message: Message) -> str:
    return message.text
