"""An application whose hooks do what the channel or the method is called, and that does what a
``send`` says; text sockets join.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal

from gateway import (
    Admit,
    Call,
    Connection,
    Denied,
    Gateway,
    Message,
    Publishing,
    Subscription,
    Unsubscription,
)

gateway = Gateway()


async def decide(word: str, attempt: int) -> None:
    """Do the worst: the names are of channels behind ``hook:``, and of methods."""
    match word:
        case "raise":
            raise ValueError("what only `full` may show")
        case "hang":
            await asyncio.sleep(3600)
        case "refuse":
            raise Denied
        case "die" if attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        case "die-always":
            os.kill(os.getpid(), signal.SIGKILL)


@gateway.on_subscribe("hook:*")
async def may_join(subscription: Subscription) -> None:
    await decide(subscription.channel.removeprefix("hook:"), subscription.attempt)


@gateway.on_publish("hook:*")
async def said(publishing: Publishing) -> None:
    await decide(publishing.data["word"], publishing.attempt)


@gateway.on_unsubscribe("hook:leave-*")
async def left(unsubscription: Unsubscription) -> None:
    word = unsubscription.channel.removeprefix("hook:leave-")
    await decide(word, unsubscription.attempt)


@gateway.on_rpc("*")
async def call(asked: Call) -> str:
    await decide(asked.method, asked.attempt)
    return "done"


# Text sockets


@gateway.on_connect
async def connected(connection: Connection) -> Admit | None:
    """Every text socket is in one channel before its first message."""
    return Admit(channels=["long:0"]) if connection.query == "text" else None


@gateway.on_message
async def joins(message: Message) -> str:
    if message.text.startswith("{"):  # sent by a Centrifuge client
        word = json.loads(message.text)["word"]
        await decide(word, message.attempt)
        return json.dumps({"word": word, "id": message.id, "attempt": message.attempt})
    return str(await gateway.subscribe(message.connection.id, message.text))
