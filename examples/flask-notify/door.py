"""The gateway's part: it holds the sockets, and tells each client its connection's id."""

from __future__ import annotations

from gateway import Gateway, Message

gateway = Gateway()


@gateway.on_message
async def who_am_i(message: Message) -> str:
    return message.connection.id
