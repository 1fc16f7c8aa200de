"""Who waits until the presence store knows of a change: not for ever."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.errors import BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S


class PresenceWaits:
    """One timer for all: each waits equally long."""

    def __init__(self) -> None:
        self._deadlines: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Future[None]:
        """To be resolved; fails with BrokerUnavailable if it is not within ``REDIS_DEADLINE_S``.

        Nobody need look at how it ended.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        done.add_done_callback(_seen)
        self._deadlines.append((loop.time() + REDIS_DEADLINE_S, done))
        if self._timer is None:
            self._set_timer()
        return done

    def _set_timer(self) -> None:
        self._timer = None
        while self._deadlines and self._deadlines[0][1].done():
            self._deadlines.popleft()
        if self._deadlines:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._deadlines[0][0], self._look)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._deadlines and (self._deadlines[0][1].done() or self._deadlines[0][0] <= now):
            _, waiting = self._deadlines.popleft()
            if not waiting.done():
                waiting.set_exception(BrokerUnavailable("presence is not written yet"))
        self._set_timer()


def nothing_to_wait_for() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


def resolve(waiting: list[asyncio.Future[None]]) -> None:
    for one in waiting:
        if not one.done():
            one.set_result(None)


def _seen(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.exception()
