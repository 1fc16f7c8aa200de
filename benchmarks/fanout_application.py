"""The application of the fan-out cases: a text is a channel, and subscribes to it."""

from __future__ import annotations

from gateway import Gateway, Message, Receipt

gateway = Gateway()


@gateway.on_message
async def subscribe(message: Message) -> str:
    if message.text.startswith("0:"):  # somebody looks whether we answer
        return message.text
    receipt = await gateway.subscribe(message.connection.id, message.text)
    return "subscribed" if receipt is Receipt.WRITTEN else f"not subscribed: {receipt}"
