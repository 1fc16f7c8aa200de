"""Leaving on purpose, slowly: sockets are closed one by one, so that their clients do not come back
all in the same second; and the lease goes last, after everything that could be finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from gateway.edge.connection import ClientConnection
from gateway.edge.handshake import Handshake
from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.protocol.deadlines import LEAVE_ALTOGETHER_S, LEAVE_S, PARTING_S
from gateway.worker.composition import WorkerParts
from gateway.worker.waiting import until

log = get_logger(__name__)

SHARE_FOR_CLOSING: Final = 0.8  # of the window; the rest is for what was begun
SLOWEST_PER_S: Final = 10.0  # fewer a second would spare nobody and only take longer
QUIET_S: Final = 0.3
LATE_DECISION_S: Final = 1.0  # for on_connect, to let somebody in who is let out again at once


class Drain:
    """The drain of one worker. Used once."""

    def __init__(self, parts: WorkerParts) -> None:
        self._hub = parts.hub
        self._runner = parts.runner
        self._dispatcher = parts.dispatcher
        self._links = parts.links
        self._members = parts.members
        self._membership = parts.cluster.membership
        self._registration = parts.cluster.registration
        self._presence = parts.presence
        self._stored_presence = parts.stored_presence
        self._lease_guard = parts.cluster.lease_guard
        self._callbacks = parts.cluster.callbacks

    async def run(self, window_s: float, *, say_leaving: Callable[[], None] | None) -> None:
        """Leave within ``window_s`` and some seconds.

        Undecided handshakes are refused at once: the client may go to another worker. Every other
        connection is closed after its last answer, at the window's end at the latest. What is
        still unfinished then is left to whoever sweeps this worker, and runs ``on_disconnect``.

        Args:
            say_leaving: Tells the others. None when others have taken over, or this worker broke:
                then no answers come, and nothing of it is this worker's any more.
        """
        began = asyncio.get_running_loop().time()
        alive = say_leaving is not None
        log.info(
            "drain begins",
            connections=len(self._handshakes()) + len(self._connections()),
            unanswered=self._dispatcher.unanswered,
            buried=self._lease_guard.is_fenced,
        )
        if say_leaving is not None:
            say_leaving()
        self._callbacks.leave_undecided()
        for handshake in self._handshakes():
            handshake.send_elsewhere()
        await self._close_connections(began + window_s, answers_come=alive)
        if alive and not self._lease_guard.is_fenced:
            now = asyncio.get_running_loop().time()
            # What was closed at the window's end has its on_disconnect to run.
            await self._come_to_rest(began, max(began + window_s, now + PARTING_S))
            self._lease_guard.retire()  # in this turn: nothing begins that this breaks off
            await self._leave()
        log.info("drain ends", unanswered=self._dispatcher.unanswered)

    def _handshakes(self) -> list[Handshake]:
        return [local for local in self._hub if isinstance(local, Handshake)]

    def _connections(self) -> list[ClientConnection]:
        return [local for local in self._hub if isinstance(local, ClientConnection)]

    async def _close_connections(self, deadline: float, *, answers_come: bool) -> None:
        """Close every connection by the deadline, evenly spread, each after its last answer."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        window_s = max(0.0, deadline - start)
        leavers = self._connections()
        spread_s = min(SHARE_FOR_CLOSING * window_s, len(leavers) / SLOWEST_PER_S)
        for place, leaver in enumerate(leavers):
            due = start + spread_s * place / len(leavers)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if answers_come:
                leaver.drain()
            else:
                leaver.close_drained()
        # Also those that were accepted meanwhile, or will be.
        await _ended([*self._handshakes(), *self._connections()], deadline)
        rest = [leaver for leaver in self._connections() if not leaver.ended.done()]
        for leaver in rest:
            leaver.close_drained()
        await _ended(rest, loop.time() + min(PARTING_S, window_s))
        # They do not answer our close, or were handshakes until now; their end must be known before
        # we go.
        rest = [leaver for leaver in self._connections() if not leaver.ended.done()]
        for leaver in rest:
            leaver.drop()
        await _ended(rest, loop.time() + PARTING_S)

    async def _come_to_rest(self, began: float, deadline: float) -> None:
        """Wait until all is handled, and nothing came while its answers left."""
        loop = asyncio.get_running_loop()
        while True:
            await until(lambda: self._idle(began) and self._quiet, deadline)
            await _soon(lambda: self._links.settled, loop.time() + LEAVE_S)
            if self._idle(began) or loop.time() >= deadline:
                return

    def _idle(self, began: float) -> bool:
        """Nothing to handle, and nobody to say goodbye to."""
        besides = set()
        if asyncio.get_running_loop().time() - began >= LATE_DECISION_S:
            besides = {h.id for h in self._handshakes() if h.discarded}
        return not self._runner.busy(besides) and len(self._dispatcher) <= len(besides)

    @property
    def _quiet(self) -> bool:
        """Nobody has sent anything for a moment, and nobody should who knows that we leave."""
        if len(self._members.known) == 1:
            return True
        known_s = self._membership.leaving_known_for_s()
        return min(known_s, self._runner.quiet_for_s()) >= QUIET_S

    async def _leave(self) -> None:
        """Give the lease back, or fence itself where others must go on."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LEAVE_ALTOGETHER_S
        unfinished = (
            len(self._registration) if self._callbacks.wants_disconnects is not False else 0
        )
        if unfinished:
            log.warning("drain leaves goodbyes to others", connections=unfinished)
            await _soon(lambda: not self._registration.behind, deadline)
        await _soon(lambda: not self._stored_presence.behind, deadline)
        present = len(self._presence) > 0 or self._stored_presence.behind
        self._registration.seal()
        await _soon(lambda: not self._registration.writing, deadline)
        await self._finish_presence(present=present)
        left_s = max(PARTING_S, min(LEAVE_S, deadline - loop.time()))
        await self._membership.leave(left_s, unfinished=bool(unfinished) or present)
        await _soon(lambda: self._links.settled, deadline)

    async def _finish_presence(self, *, present: bool) -> None:
        if present:
            log.warning("drain leaves members of channels to others", members=len(self._presence))
            self._stored_presence.seal()
            return
        try:
            async with asyncio.timeout(PARTING_S):
                await self._stored_presence.finish()
        except (TimeoutError, BrokerUnavailable):
            log.debug("presence not finished")


async def _soon(condition: Callable[[], bool], deadline: float) -> None:
    await until(condition, min(deadline, asyncio.get_running_loop().time() + LEAVE_S))


async def _ended(leavers: Iterable[Handshake | ClientConnection], deadline: float) -> None:
    waiting = [leaver.ended for leaver in leavers if not leaver.ended.done()]
    if waiting:
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        await asyncio.wait(waiting, timeout=left_s)
