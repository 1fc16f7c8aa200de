"""An answer that comes bit by bit, as a language model writes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gateway import Gateway, Message, Receipt

gateway = Gateway()


@gateway.on_message
async def answer(message: Message) -> str | None:
    """Send each token as soon as it is there, and at last the whole answer."""
    said = []
    async for token in tokens(message.text):
        receipt = await gateway.send(message.connection.id, token)
        if receipt is Receipt.GONE:
            return None  # nobody reads on: do not pay for the rest
        said.append(token)
    return "".join(said)


async def tokens(question: str) -> AsyncIterator[str]:
    """What a model would say. It takes its time."""
    for word in f"You ask: {question} Let me think. I do not know.".split(" "):
        await asyncio.sleep(0.1)
        yield f"{word} "
