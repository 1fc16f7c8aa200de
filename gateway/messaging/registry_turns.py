"""Who may ask the registry now: a few at a time, the others in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.errors import BrokerRefused, BrokerUnavailable, RegistryBusy

QUESTION_S: Final = 5.0
TURN_S: Final = 30.0
MAX_WAITS: Final = 10_000  # ten batches
SILENT_S: Final = 1.0  # what fails sooner holds up nobody: the next may go elsewhere


class RegistryTurns:
    """One queue.

    A question has ``QUESTION_S`` for itself, and before it ``TURN_S`` for the wait: so that who
    waits behind many others is not told that Redis is away. Where it is, nobody waits on: a
    question that ends without an answer, and none was answered beside it, ends the wait of all.

    Args:
        at_once: How many may ask at once.
        count_busy: Told of each whose turn did not come in time.
        count_unanswered: Told how many end since nobody has answered: a question, or all that wait.
    """

    def __init__(
        self,
        at_once: int,
        *,
        count_busy: Callable[[], None],
        count_unanswered: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._free = at_once
        self._count_busy = count_busy
        self._count_unanswered = count_unanswered
        # In order. No semaphore: of its waiters each that ends early looks through the others.
        self._waits: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._answered = 0

    @property
    def waiting(self) -> int:
        """How many questions wait for their turn."""
        return len(self._waits)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Around one question.

        Raises:
            RegistryBusy: Its turn did not come, or ``MAX_WAITS`` wait. It was not asked.
            BrokerUnavailable: Nobody has answered.
        """
        await self._turn()
        try:
            began, answered = asyncio.get_running_loop().time(), self._answered
            try:
                async with asyncio.timeout(QUESTION_S):
                    yield
            except TimeoutError:
                self._count_unanswered(1)
                if self._answered == answered:
                    self._end_waits(QUESTION_S)
                raise _unanswered(QUESTION_S) from None
            except BrokerRefused:
                self._answered += 1
                raise
            except BrokerUnavailable:  # one command has less time than a question
                self._count_unanswered(1)
                silent_s = asyncio.get_running_loop().time() - began
                if silent_s >= SILENT_S and self._answered == answered:
                    self._end_waits(silent_s)
                raise
            self._answered += 1
        finally:
            self._give_on()

    async def _turn(self) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._waits) >= MAX_WAITS:
            self._count_busy()
            raise RegistryBusy(before_it=len(self._waits))
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        late = loop.call_later(TURN_S, self._too_late, turn, len(self._waits))
        self._waits[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:
                self._give_on()  # it came in the same turn of the loop
            raise
        finally:
            late.cancel()
            self._waits.pop(turn, None)

    def _give_on(self) -> None:
        while self._waits:
            turn, _ = self._waits.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _too_late(self, turn: asyncio.Future[None], before_it: int) -> None:
        if not turn.done():
            self._count_busy()
            turn.set_exception(RegistryBusy(before_it=before_it, within_s=TURN_S))

    def _end_waits(self, silent_s: float) -> None:
        waits, self._waits = self._waits, OrderedDict()
        ended = [turn for turn in waits if not turn.done()]
        for turn in ended:
            turn.set_exception(_unanswered(silent_s))
        self._count_unanswered(len(ended))


def _unanswered(within_s: float) -> BrokerUnavailable:
    return BrokerUnavailable(f"Redis does not answer within {within_s:.1g} s")
