"""The application of the push case: a client that says anything learns its connection's id."""

from __future__ import annotations

from gateway import Gateway, Message

gateway = Gateway()


@gateway.on_message
async def who(message: Message) -> str:
    return message.connection.id
