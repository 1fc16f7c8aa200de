"""The end of a dead worker's connections: their ``on_disconnect`` runs, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Final

from gateway.dispatch import Desk, Dispatcher
from gateway.hub import Hub
from gateway.log import get_logger
from gateway.protocol.conversation import MAX_ATTEMPTS, Event, Pending
from gateway.protocol.envelope import Answer, Facts, Particulars
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt
from gateway.registry.base import CLAIM_S, Entry, Registry

log = get_logger(__name__)

AT_ONCE: Final = 200
HOLD_S: Final = CLAIM_S / 3
LOOK_S: Final = 30.0
LAST_MOMENT_S: Final = 60.0  # before the registry forgets the entries
POLL_S: Final = 0.2
LOST_CODE: Final = 1006
LOST_REASON: Final = "worker died"


class End(Enum):
    """What came of an ``on_disconnect``."""

    HANDLED = auto()
    GIVEN_UP = auto()  # three workers died while they ran it
    UNHEARD = auto()  # there was no handler worker for too long


class Ghost:
    """What the registry knows of a connection whose worker died: a ``Party`` and a ``Member``."""

    def __init__(
        self,
        connection: ConnectionId,
        entry: Entry,
        hub: Hub,
        dispatcher: Dispatcher,
        ended: Callable[[], None],
    ) -> None:
        self.id = connection
        self.facts = Facts(entry.user, entry.address, "", (("user-agent", entry.user_agent),), ())
        self.end: End | None = None
        self._ended = ended
        self._dispatcher = dispatcher
        self._hub = hub
        self._desk: Desk = dispatcher.open(self)
        hub.add(self)

    def say_goodbye(self) -> None:
        self._dispatcher.read(self._desk, Event.DISCONNECT, LOST_REASON, close_code=LOST_CODE)

    def leave(self) -> None:
        self._dispatcher.close(self._desk)
        self._hub.remove(self.id)

    def settle(self, worker: WorkerId, answer: Answer) -> None:
        self._dispatcher.settle(self._desk, worker, answer)

    def flush(self) -> None:
        """It has no socket, and nothing to write."""

    @property
    def taking(self) -> Receipt:
        return Receipt.GONE

    def push(self, text: str, done: Callable[[Receipt], None]) -> None:  # noqa: ARG002
        done(Receipt.GONE)

    def disconnect(self, code: int, reason: str) -> Receipt:  # noqa: ARG002
        return Receipt.GONE

    def particulars(self) -> Particulars:
        return Particulars(0, 0, self.facts.user, self.facts.address, "")

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:  # noqa: ARG002
        self._end(End.HANDLED)

    def unhandled(self, pending: Pending) -> None:
        if pending.attempt <= MAX_ATTEMPTS:
            self._end(End.UNHEARD)
            return
        log.error("on_disconnect given up", connection_id=self.id)
        self._end(End.GIVEN_UP)

    def _end(self, end: End) -> None:
        self.end = end
        self.leave()
        self._ended()


class Sweep:
    """One worker's part in the sweep of a dead one. Several may sweep the same: each takes other
    entries, and holds on to them for as long as it lives.

    Args:
        wanted: Whether the application wants to know of disconnects; None while there is nobody to
            tell, or nobody to say so. Until there is, the entries stay where they are.
        leaving: This worker leaves: it takes on no more.
        given_up: Told how many had no ``on_disconnect``, or not to its end.
    """

    def __init__(
        self,
        worker: WorkerId,
        registry: Registry,
        hub: Hub,
        dispatcher: Dispatcher,
        *,
        wanted: Callable[[], bool | None],
        leaving: Callable[[], bool],
        given_up: Callable[[int], None],
    ) -> None:
        self._worker = worker
        self._registry = registry
        self._hub = hub
        self._dispatcher = dispatcher
        self._wanted = wanted
        self._leaving = leaving
        self._given_up = given_up
        self._ghosts: dict[ConnectionId, Ghost] = {}
        self._ended = asyncio.Event()
        self._waits = False

    async def run(self) -> bool:
        """Dispatch ``on_disconnect`` for what the registry lists for the dead worker.

        Each entry is removed once it is handled, so that whoever goes on after a sweeper that died
        goes on where it stopped.

        Returns:
            Whether nothing is left. False: others are at it, or will have to be.

        Raises:
            BrokerUnavailable: Broken off.
        """
        while not self._leaving():
            wanted = self._wanted()
            if wanted is None:
                if await self._nobody_comes():
                    return True
            elif not wanted:
                return True
            elif await self._say_goodbyes():
                return not (await self._registry.left(self._worker)).entries
        return False

    async def _say_goodbyes(self) -> bool:
        """Returns whether all is taken and what was ours is handled; False: nobody handles it."""
        loop = asyncio.get_running_loop()
        hold_at, all_taken = loop.time() + HOLD_S, False
        try:
            while True:
                goes_on = self._wanted() is True and not self._leaving()
                if goes_on and not all_taken and len(self._ghosts) <= AT_ONCE // 2:
                    all_taken = await self._take_on(AT_ONCE - len(self._ghosts))
                if not self._ghosts:
                    return all_taken
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(hold_at):
                        await self._ended.wait()
                self._ended.clear()
                await self._put_down()
                if loop.time() >= hold_at:
                    await self._registry.hold(self._worker, self._ghosts)
                    hold_at = loop.time() + HOLD_S
        finally:
            for ghost in self._ghosts.values():
                ghost.leave()
            self._ghosts.clear()

    async def _take_on(self, count: int) -> bool:
        """Returns whether that was all there is to take."""
        taken = await self._registry.take(self._worker, count)
        for connection, entry in taken:
            if connection not in self._ghosts:
                ghost = Ghost(connection, entry, self._hub, self._dispatcher, self._ended.set)
                self._ghosts[connection] = ghost
                ghost.say_goodbye()
        return len(taken) < count

    async def _put_down(self) -> None:
        ended = [ghost for ghost in self._ghosts.values() if ghost.end is not None]
        for ghost in ended:
            del self._ghosts[ghost.id]
        if lost := sum(ghost.end is End.GIVEN_UP for ghost in ended):
            self._given_up(lost)
        await self._registry.swept(self._worker, [g.id for g in ended if g.end is not End.UNHEARD])
        await self._registry.give_back(self._worker, [g.id for g in ended if g.end is End.UNHEARD])

    async def _nobody_comes(self) -> bool:
        """Wait a while for a handler worker. Returns whether the wait is over: nothing is left."""
        left = await self._registry.left(self._worker)
        if not left.entries:
            return True
        if left.expires_s <= LAST_MOMENT_S:
            await self._give_up()
            return True
        if not self._waits:
            self._waits = True
            log.warning(
                "sweep waits for a handler worker", dead_worker=self._worker, entries=left.entries
            )
        look_at = min(LOOK_S, left.expires_s - LAST_MOMENT_S) + asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < look_at:
            if self._wanted() is not None or self._leaving():
                break
            await asyncio.sleep(POLL_S)
        return False

    async def _give_up(self) -> None:
        """Redis is about to forget them: say how many, and let nobody count them twice."""
        lost = 0
        while taken := await self._registry.take(self._worker, AT_ONCE):
            lost += len(taken)
            await self._registry.swept(self._worker, [connection for connection, _ in taken])
        if lost:
            self._given_up(lost)
            log.error("sweep given up", dead_worker=self._worker, entries=lost)
