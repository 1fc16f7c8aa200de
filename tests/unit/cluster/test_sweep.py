"""A sweep among whose entries is one that kills whoever runs it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any, cast
from unittest.mock import Mock

import pytest

from gateway.cluster.sweep import OrphanedConnection, Sweep
from gateway.messaging.hub import Hub
from gateway.protocol.conversation import MAX_ATTEMPTS, Event, Pending
from gateway.protocol.deadlines import CLAIM_S
from gateway.protocol.envelopes.dispatching import Reply
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.registry.base import Entry
from gateway.registry.memory import MemoryRegistry
from tests.support.ids import new_connection_id, new_worker_id

LIVES = WorkerInfo(edge=True, handler=True)
DEAD = new_worker_id()
ENTRIES = [new_connection_id(DEAD) for _ in range(300)]
POISON = ENTRIES[100]


class Handlers:
    """Stands for a ``Dispatcher``: of what is read together nothing is done if one of it kills."""

    def __init__(self) -> None:
        self.runs = Counter[ConnectionId]()
        self.died = asyncio.Event()
        self._begun: list[tuple[OrphanedConnection, Pending]] = []

    def open(self, party: OrphanedConnection) -> OrphanedConnection:
        return party

    def close(self, dispatch_state: OrphanedConnection) -> None:
        pass

    def read(
        self, dispatch_state: OrphanedConnection, event: Event, text: str, **options: int
    ) -> None:
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._run)
        attempt = options.get("attempt", 1)
        self._begun.append(
            (dispatch_state, Pending(1, event, text, size_bytes=0, since=0, attempt=attempt))
        )

    def _run(self) -> None:
        begun, self._begun = self._begun, []
        self.runs.update(orphan.id for orphan, _ in begun)
        if any(orphan.id == POISON for orphan, _ in begun):
            self.perish(begun)
            return
        for orphan, pending in begun:
            orphan.answered(pending, Reply(orphan.id, 1, pending.attempt, None), DEAD)

    def perish(self, begun: list[tuple[OrphanedConnection, Pending]]) -> None:
        self.died.set()  # they died within the sweeper


class RemoteHandlers(Handlers):
    """The worker that died is not the sweeper, which hears of it."""

    def perish(self, begun: list[tuple[OrphanedConnection, Pending]]) -> None:
        for orphan, pending in begun:
            pending.attempt += 1
            if pending.attempt > MAX_ATTEMPTS:
                orphan.unhandled(pending)
            else:
                self._begun.append((orphan, pending))
        if self._begun:
            asyncio.get_running_loop().call_soon(self._run)


@pytest.mark.parametrize("kind", [Handlers, RemoteHandlers])
async def test_what_kills_is_given_up_after_three_and_all_others_are_handled(
    kind: type[Handlers],
) -> None:
    """Red when attempts die with the sweeper that counts them, and when others share its fate."""
    now_s = 1000.0
    registry, handlers, lost = MemoryRegistry(lambda: now_s), kind(), 0

    def give_up(count: int) -> None:
        nonlocal lost
        lost += count

    async def sweep(me: WorkerId) -> bool:
        await registry.renew(me, LIVES, 3600)
        dispatcher: Any = handlers
        return await Sweep(
            me,
            DEAD,
            registry,
            cast("Hub", Mock()),
            dispatcher,
            wanted=lambda: True,
            leaving=lambda: False,
            given_up=give_up,
        ).run()

    await registry.write(
        DEAD, 1, {c: Entry(None, "", "", "text", 0) for c in ENTRIES}, upon=range(1)
    )
    for _ in range(6):
        me = new_worker_id()
        sweeping = asyncio.create_task(sweep(me))
        dying = asyncio.create_task(handlers.died.wait())
        async with asyncio.timeout(5):
            await asyncio.wait([sweeping, dying], return_when=asyncio.FIRST_COMPLETED)
        if sweeping.done():
            dying.cancel()
            break
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        handlers.died.clear()
        await registry.fence(me)
        now_s += CLAIM_S + 1

    assert sweeping.result()
    assert handlers.runs[POISON] == MAX_ATTEMPTS
    assert lost == 1
    assert handlers.runs.keys() == set(ENTRIES)
    assert max(handlers.runs[c] for c in ENTRIES if c != POISON) <= 2
