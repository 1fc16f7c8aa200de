"""The end of a dead worker's connections: their ``on_disconnect`` runs, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Final

from gateway.close_codes import LOST
from gateway.handlers.dispatch_state import DispatchState
from gateway.handlers.dispatcher import Dispatcher
from gateway.log import get_logger
from gateway.messaging.hub import Done, Hub
from gateway.protocol.conversation import MAX_ATTEMPTS, Event, Pending
from gateway.protocol.deadlines import BACKLOG_LOOK_S, EXTEND_S, LAST_MOMENT_S
from gateway.protocol.envelopes.dispatching import Answer
from gateway.protocol.envelopes.requests_to_owners import Particulars
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt
from gateway.registry.base import AcquiredEntry, Backlog, Registry

log = get_logger(__name__)

AT_ONCE: Final = 200
POLL_S: Final = 0.2
LOST_REASON: Final = "worker died"


class End(Enum):
    """What came of an ``on_disconnect``."""

    HANDLED = auto()
    DIED = auto()  # a worker died while it ran it
    UNHEARD = auto()  # there was no handler worker for too long


class OrphanedConnection:
    """An orphaned connection: what the registry knows of one whose worker died. A
    ``Dispatchable``, and a ``LocalConnection``.
    """

    def __init__(
        self,
        acquired: AcquiredEntry,
        hub: Hub,
        dispatcher: Dispatcher,
        ended: Callable[[], None],
    ) -> None:
        self.id, entry, deaths = acquired
        self.facts = entry.facts
        self.may_be_poison = deaths > 0
        self.end: End | None = None
        self._ended = ended
        self._dispatcher = dispatcher
        self._hub = hub
        self._dispatch_state: DispatchState = dispatcher.open(self)
        hub.add(self)

    def dispatch_disconnect(self) -> None:
        # Its last attempt here: the registry counts, since a sweeper may die of it like any other.
        self._dispatcher.read(
            self._dispatch_state,
            Event.DISCONNECT,
            LOST_REASON,
            close_code=LOST.code,
            attempt=MAX_ATTEMPTS,
        )

    def leave(self) -> None:
        self._dispatcher.close(self._dispatch_state)
        self._hub.remove(self.id)

    @property
    def taking(self) -> Receipt:
        return Receipt.GONE

    def push(self, text: str, done: Callable[[Receipt], None]) -> None:  # noqa: ARG002
        done(Receipt.GONE)

    def disconnect(self, code: int, reason: str) -> Receipt:  # noqa: ARG002
        return Receipt.GONE

    def subscribe(self, channel: str, done: Done) -> None:  # noqa: ARG002
        done(Receipt.GONE)

    def unsubscribe(self, channel: str, done: Done) -> None:  # noqa: ARG002
        done(Receipt.GONE)

    def particulars(self) -> Particulars | None:
        return None

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:  # noqa: ARG002
        self._end(End.HANDLED)

    def unhandled(self, pending: Pending) -> None:
        self._end(End.UNHEARD if pending.attempt <= MAX_ATTEMPTS else End.DIED)

    def _end(self, end: End) -> None:
        self.end = end
        self.leave()
        self._ended()


class Sweep:
    """One worker's part in the sweep of a dead one. Several may sweep the same: each acquires other
    entries, and keeps them for as long as it lives.

    An entry that a worker died with may be poison: it is run after all others, and alone, so that
    nothing shares its fate. When three have died it is given up.

    Args:
        wanted: Whether the application wants to know of disconnects; None while there is nobody to
            tell, or nobody to say so. Until there is, the entries stay where they are.
        leaving: This worker leaves: it acquires no more.
        given_up: Told how many had no ``on_disconnect``, or not to its end.
    """

    def __init__(
        self,
        me: WorkerId,
        worker: WorkerId,
        registry: Registry,
        hub: Hub,
        dispatcher: Dispatcher,
        *,
        wanted: Callable[[], bool | None],
        leaving: Callable[[], bool],
        given_up: Callable[[int], None],
    ) -> None:
        self._me = me
        self._worker = worker
        self._registry = registry
        self._hub = hub
        self._dispatcher = dispatcher
        self._wanted = wanted
        self._leaving = leaving
        self._given_up = given_up
        self._orphans: dict[ConnectionId, OrphanedConnection] = {}
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
            if wanted is False:
                return True
            backlog = await self._registry.backlog(self._worker)
            if not backlog.entries:
                return True
            if backlog.expires_s <= LAST_MOMENT_S:
                await self._give_up()
                return True
            if wanted is None:
                await self._wait_for_handlers(backlog)
            elif await self._dispatch_disconnects():
                return not (await self._registry.backlog(self._worker)).entries
        return False

    async def _dispatch_disconnects(self) -> bool:
        """Returns whether all is acquired and what was ours is handled; False: look again."""
        loop = asyncio.get_running_loop()
        extend_at, more, late = loop.time() + EXTEND_S, True, False
        try:
            while True:
                goes_on = self._wanted() is True and not self._leaving() and not late
                if goes_on and (not self._orphans or (more and self._has_room)):
                    more = await self._acquire()
                    if more and not self._orphans:
                        continue  # those were given up
                if not self._orphans:
                    return not more
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(extend_at):
                        await self._ended.wait()
                self._ended.clear()
                await self._let_go_of_ended()
                if loop.time() >= extend_at:
                    await self._registry.extend(self._worker, self._orphans)
                    late = (await self._registry.backlog(self._worker)).expires_s <= LAST_MOMENT_S
                    extend_at = loop.time() + EXTEND_S
        finally:
            for orphan in self._orphans.values():
                orphan.leave()
            self._orphans.clear()

    @property
    def _has_room(self) -> bool:
        orphans = self._orphans
        return len(orphans) <= AT_ONCE // 2 and not any(
            orphan.may_be_poison for orphan in orphans.values()
        )

    async def _acquire(self) -> bool:
        """Returns whether there was anything. What may be poison is acquired only by itself."""
        acquired = await self._registry.acquire(
            self._worker,
            AT_ONCE - len(self._orphans),
            sweeper=self._me,
            poison=not self._orphans,
        )
        spent = [item.connection for item in acquired if item.deaths >= MAX_ATTEMPTS]
        for item in acquired:
            if item.connection not in self._orphans and item.deaths < MAX_ATTEMPTS:
                orphan = OrphanedConnection(item, self._hub, self._dispatcher, self._ended.set)
                self._orphans[item.connection] = orphan
                orphan.dispatch_disconnect()
        for connection in spent:
            log.error("on_disconnect given up", connection_id=connection)
        if spent:
            self._given_up(len(spent))
            await self._registry.remove(self._worker, spent)
        return bool(acquired)

    async def _let_go_of_ended(self) -> None:
        ended: dict[End, list[ConnectionId]] = {end: [] for end in End}
        for orphan in list(self._orphans.values()):
            if orphan.end is not None:
                ended[orphan.end].append(orphan.id)
                del self._orphans[orphan.id]
        await self._registry.remove(self._worker, ended[End.HANDLED])
        await self._registry.release(self._worker, ended[End.UNHEARD])
        await self._registry.release(self._worker, ended[End.DIED], died=True)

    async def _wait_for_handlers(self, backlog: Backlog) -> None:
        """Wait a while for a handler worker."""
        if not self._waits:
            self._waits = True
            log.warning(
                "sweep waits for a handler worker",
                dead_worker=self._worker,
                entries=backlog.entries,
            )
        wait_s = min(BACKLOG_LOOK_S, backlog.expires_s - LAST_MOMENT_S)
        look_at = asyncio.get_running_loop().time() + wait_s
        while asyncio.get_running_loop().time() < look_at:
            if self._wanted() is not None or self._leaving():
                break
            await asyncio.sleep(POLL_S)

    async def _give_up(self) -> None:
        """Redis is about to forget them: say how many, and let nobody count them twice."""
        lost = 0
        while acquired := await self._registry.acquire(
            self._worker, AT_ONCE, sweeper=self._me, poison=True
        ):
            lost += len(acquired)
            await self._registry.remove(self._worker, [item.connection for item in acquired])
        if lost:
            self._given_up(lost)
            log.error("sweep given up", dead_worker=self._worker, entries=lost)
