"""Those who wait until whatever a connection was sent before has been handed out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.errors import BrokerUnavailable


class Settling:
    """One PING is under way at most; who comes meanwhile shares the next."""

    def __init__(self) -> None:
        self._under_way: list[asyncio.Future[None]] = []
        self._next: list[asyncio.Future[None]] = []

    def add(self) -> asyncio.Future[None]:
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next.append(settled)
        return settled

    def begin(self) -> bool:
        """Whether a PING is to be sent now."""
        if self._under_way or not self._next:
            return False
        self._under_way, self._next = self._next, []
        return True

    def answered(self) -> bool:
        """Whether there is a next."""
        settled, self._under_way = self._under_way, []
        for future in settled:
            if not future.done():
                future.set_result(None)
        return bool(self._next)

    def refused(self, why: str) -> bool:
        """Whether there is a next."""
        refused, self._under_way = self._under_way, []
        fail(refused, why)
        return bool(self._next)

    def fail(self, why: str) -> None:
        """The connection is lost."""
        fail(self._under_way + self._next, why)
        self._under_way, self._next = [], []


def fail(futures: Sequence[asyncio.Future[None]], why: str) -> None:
    """With BrokerUnavailable."""
    for future in futures:
        if not future.done():
            future.set_exception(BrokerUnavailable(why))
