"""Applications for tests: handlers that wait for a word of the test's, or answer so many bytes."""

from __future__ import annotations

import asyncio

from gateway import Gateway, Message


class Gated:
    """Echoes, or gives its one answer, once its gate is open.

    Attributes:
        started: The texts of the messages whose handler was started, in that order.
        running: How many handlers run now.
    """

    def __init__(self, answer: str | None = None) -> None:
        self._answer = answer
        self.gateway = Gateway()
        self.gateway.on_message(self._echo)
        self.gate = asyncio.Event()
        self.started: list[str] = []
        self.running = 0

    async def _echo(self, message: Message) -> str:
        self.started.append(message.text)
        self.running += 1
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        return f"Received:{message.text}" if self._answer is None else self._answer


def talkative() -> Gateway:
    """Answers ``n`` with n letters."""
    gateway = Gateway()

    @gateway.on_message
    async def talk(message: Message) -> str:
        return "x" * int(message.text)

    return gateway
