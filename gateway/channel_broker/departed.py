"""Which masters of a Cluster have left in peace, as all workers know it.

Their run ids stand in Redis, since a worker that starts later, or whose connection to a master did
not stand when that left, cannot know by itself, and would begin another epoch of every channel that
nobody has touched since (ADR 20).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from gateway.channel_broker.redis import Redirected
from gateway.errors import BrokerRefused, BrokerUnavailable

MAX_DEPARTED: Final = 36  # 9 B of each go with every publication that is kept
LETTERS: Final = 8  # of a run id, by which ``channel_epoch.lua`` knows one that has left: 32 bits
LOOK_S: Final = 30.0  # between two looks at what others have seen
SOON_S: Final = 1.0  # after the masters have changed: others have told by then
RETRY_S: Final = 0.25


class Exchange(Protocol):
    """Writes and reads the list in Redis, in one go."""

    def __call__(
        self, left: Mapping[str, int], returned: Collection[str]
    ) -> Awaitable[Sequence[str]]:
        """Add these with the time in ms at which each left, take out those.

        Returns:
            What is there then, the newest last.

        Raises:
            BrokerUnavailable: Nobody can know.
        """
        ...


class DepartedMasters:
    """The run ids of the last ``MAX_DEPARTED`` masters that have left.

    Args:
        changed: Called when there are others.

    Attributes:
        known: What is in Redis was read. Before, nobody can say that a master was lost.
        run_ids: The newest last.
    """

    def __init__(self, exchange: Exchange, *, changed: Callable[[], object]) -> None:
        self.known = False
        self.run_ids: tuple[str, ...] = ()
        self._exchange = exchange
        self._changed = changed
        self._left: dict[str, int] = {}  # seen by this worker, and not told yet
        self._returned: set[str] = set()
        self._there: frozenset[str] = frozenset()
        self._look = asyncio.Event()

    def left(self, run_id: str) -> None:
        """This one was seen to leave."""
        self._returned.discard(run_id)
        if run_id not in self.run_ids:
            self._left[run_id] = time.time_ns() // 1_000_000
            self._set([*self.run_ids, run_id])

    def masters_are(self, run_ids: Collection[str]) -> None:
        """These have slots. One that has left and is back may be lost like any other."""
        self._there = frozenset(run_ids)
        returned = self._there.intersection(self.run_ids)
        if returned:
            self._returned |= returned
            for run_id in returned:
                self._left.pop(run_id, None)
            self._set(self.run_ids)

    def look_soon(self) -> None:
        """Others may have seen a master leave."""
        self._look.set()

    async def run(self) -> None:
        """Tell the others and hear from them, until cancelled."""
        while True:
            news = self._look.is_set()
            self._look.clear()
            try:
                await self._tell_and_hear()
            except BrokerUnavailable as error:
                if not isinstance(error, BrokerRefused) or isinstance(error, Redirected):
                    await asyncio.sleep(RETRY_S)
                    self._look.set()
                    continue
                self._hear(self.run_ids)  # nobody will ever know more
            pause_s = SOON_S if news else LOOK_S * random.uniform(0.75, 1.25)  # noqa: S311
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._look.wait()

    async def _tell_and_hear(self) -> None:
        left, returned = dict(self._left), set(self._returned)
        found = await self._exchange(left, returned)
        for run_id, when in left.items():
            if self._left.get(run_id) == when:
                del self._left[run_id]
        self._returned -= returned
        self._hear([*found, *(one for one in self._left if one not in found)])

    def _hear(self, run_ids: Sequence[str]) -> None:
        first, self.known = not self.known, True
        self._set(run_ids, tell=first)

    def _set(self, run_ids: Sequence[str], *, tell: bool = False) -> None:
        theirs = [one for one in run_ids if one not in self._there and one not in self._returned]
        before, self.run_ids = self.run_ids, tuple(theirs[-MAX_DEPARTED:])
        if tell or before != self.run_ids:
            self._changed()
