"""Applications that give back what they get: of ours, and of ASGI's plain kind."""

from __future__ import annotations

from typing import Any

from gateway import Gateway, Message

gateway = Gateway()


@gateway.on_message
async def echo(message: Message) -> str:
    return message.text


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
