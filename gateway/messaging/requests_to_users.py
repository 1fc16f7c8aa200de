"""One user's connections, wherever they are: the registry says which, their owners do the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from gateway.messaging.registry_turns import RegistryTurns
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt, Sent
from gateway.registry.base import Entry

QUESTIONS_AT_ONCE: Final = 2
AT_ONCE: Final = 500  # sends for one call

Found = Sequence[tuple[ConnectionId, Entry]]


class Sender(Protocol):
    """What sends to any connection (``gateway.messaging.requests_to_owners``)."""

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt: ...

    async def disconnect(self, connection: str, code: int, reason: str) -> Receipt: ...

    async def subscribe(self, connection: str, channel: str) -> Receipt: ...

    async def unsubscribe(self, connection: str, channel: str) -> Receipt: ...


class RequestsToUsers:
    """Reaches users. One per process, beside what reaches connections, and one for batches alone: a
    thousand may wait there.

    Args:
        find: All connections of a user.
        at_once: Questions to the registry; the others wait for their turn.
        count_busy: Told of each question whose turn did not come in time.
        count_unanswered: Told of how many nobody has answered.

    Attributes:
        sender: Reaches connections.
    """

    def __init__(
        self,
        sender: Sender,
        find: Callable[[str], Awaitable[Found]],
        *,
        at_once: int = QUESTIONS_AT_ONCE,
        count_busy: Callable[[], None] = lambda: None,
        count_unanswered: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.sender = sender
        self._find = find
        self._turns = RegistryTurns(
            at_once, count_busy=count_busy, count_unanswered=count_unanswered
        )

    @property
    def waiting(self) -> int:
        """How many questions wait for their turn."""
        return self._turns.waiting

    async def connections(self, user: str) -> Found:
        """All connections of ``user``: those of each worker together, the oldest first.

        Raises:
            TypeError: The user is none. Who has no name is nobody's, not everybody.
            BrokerUnavailable: Nobody can know now.
        """
        given: object = user
        if not isinstance(given, str):
            raise TypeError(f"user is {type(given).__name__}, not str")
        async with self.asking_registry():
            return await self._find(user)

    async def send(self, user: str, text: str, *, key: str | None = None) -> list[Sent]:
        """Send to each connection of ``user``; each has its own receipt.

        Raises:
            BrokerUnavailable: Nobody can know their connections now. Nothing was sent.
            EnvelopeTooLarge: As of a send to one connection.
        """
        return await self._each(user, lambda name: self.sender.send(name, text, key=key))

    async def disconnect(self, user: str, code: int, reason: str) -> list[Sent]:
        """Close each connection of ``user``.

        Raises:
            BrokerUnavailable: Nobody can know their connections now. Nothing was closed.
        """
        return await self._each(user, lambda name: self.sender.disconnect(name, code, reason))

    async def _each(self, user: str, do: Callable[[str], Awaitable[Receipt]]) -> list[Sent]:
        names = [name for name, _ in await self.connections(user)]
        done: list[Sent] = []
        for begin in range(0, len(names), AT_ONCE):
            some = names[begin : begin + AT_ONCE]
            receipts = await asyncio.gather(*(do(name) for name in some))
            done += [Sent(name, receipt) for name, receipt in zip(some, receipts, strict=True)]
        return done

    def asking_registry(self) -> AbstractAsyncContextManager[None]:
        """Around a question to the registry. A few at a time, and none without an end.

        Raises:
            RegistryBusy: Its turn did not come in time.
            BrokerUnavailable: Nobody can answer it.
        """
        return self._turns.asking()
