"""An application that is looked at: users are called what the query says, whatever that is.

The message ``hold``, and the end of a connection of the user ``held``, are handled once there is a
file called as ``WATCHED_RELEASE`` says.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import unquote

from gateway import Connection, Gateway, Message

gateway = Gateway()


@gateway.on_connect
async def name(connection: Connection) -> str | None:
    return unquote(connection.query) or None


@gateway.on_message
async def repeat(message: Message) -> str:
    if message.text == "hold":
        await _released()
    return message.text


@gateway.on_disconnect
async def ended(connection: Connection) -> None:
    if connection.user == "held":
        await _released()


async def _released() -> None:
    while not Path(os.environ["WATCHED_RELEASE"]).exists():  # noqa: ASYNC110, ASYNC240 (a test's)
        await asyncio.sleep(0.02)
