"""Who may ask the registry now: a few at a time, the others in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.errors import BrokerRefused, BrokerUnavailable, RegistryBusy

QUESTION_S: Final = 5.0
TURN_S: Final = 30.0
SILENT_S: Final = 1.0  # what fails sooner holds up nobody: the next may go elsewhere


class RegistryTurns:
    """One queue.

    A question has ``QUESTION_S`` for itself, and before it ``TURN_S`` for the wait: so that who
    waits behind many others is not told that Redis is away. Where it is, nobody waits on: a
    question that ends without an answer, and none was answered beside it, ends the wait of all.

    Args:
        at_once: How many may ask at once.
        count_busy: Told of each whose turn did not come in time.
    """

    def __init__(self, at_once: int, *, count_busy: Callable[[], None]) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._count_busy = count_busy
        self._waits: set[asyncio.Timeout] = set()
        self._answered = 0
        self._silent_s = QUESTION_S  # for which the last waited that ended the others' wait

    @property
    def waiting(self) -> int:
        """How many questions wait for their turn."""
        return len(self._waits)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Around one question.

        Raises:
            RegistryBusy: Its turn did not come. It was not asked.
            BrokerUnavailable: Nobody has answered.
        """
        await self._turn()
        try:
            began, answered = asyncio.get_running_loop().time(), self._answered
            try:
                async with asyncio.timeout(QUESTION_S):
                    yield
            except TimeoutError:
                if self._answered == answered:
                    self._end_waits(QUESTION_S)
                raise _unanswered(QUESTION_S) from None
            except BrokerRefused:
                self._answered += 1
                raise
            except BrokerUnavailable:  # one command has less time than a question
                silent_s = asyncio.get_running_loop().time() - began
                if silent_s >= SILENT_S and self._answered == answered:
                    self._end_waits(silent_s)
                raise
            self._answered += 1
        finally:
            self._turns.release()

    async def _turn(self) -> None:
        if not self._turns.locked():
            await self._turns.acquire()
            return
        before_it, due = len(self._waits), asyncio.get_running_loop().time() + TURN_S
        wait = asyncio.timeout_at(due)
        self._waits.add(wait)
        try:
            async with wait:
                await self._turns.acquire()
            if wait.when() != due:  # ended, and its turn came first: Python 3.11 is a step behind
                self._turns.release()
                raise _unanswered(self._silent_s)
        except TimeoutError:
            if wait.when() != due:
                raise _unanswered(self._silent_s) from None
            self._count_busy()
            raise RegistryBusy(before_it=before_it, within_s=TURN_S) from None
        finally:
            self._waits.remove(wait)

    def _end_waits(self, silent_s: float) -> None:
        self._silent_s = silent_s
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(now)


def _unanswered(within_s: float) -> BrokerUnavailable:
    return BrokerUnavailable(f"Redis does not answer within {within_s:.1g} s")
