"""The built-in application: every line comes back."""

from __future__ import annotations

from gateway.handlers.definitions import Message


async def echo(message: Message) -> str:
    return f"Received:{message.text}"
