"""Two hundred workers that arrive at once, and a hundred that are rolled: looks, and who is buried.

Real memberships and members, a model of Redis (``MemoryRegistry``) and of its channel of everyone,
and a loop whose time passes only when nothing is left to do.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial

from gateway.cluster.membership import LOOKS_PER_SECOND, Membership
from gateway.protocol.deadlines import LEASE_S, RENEWAL_S
from gateway.protocol.envelopes.membership import Arrived, Gone, Leaving
from gateway.protocol.ids import WorkerId
from gateway.protocol.members import Leases, Members, WorkerInfo
from gateway.registry.memory import MemoryRegistry
from tests.support.ids import new_worker_id

INFO = WorkerInfo(edge=True, handler=True)


class _Skipping(selectors.DefaultSelector):
    """A selector that never waits: the time it would have waited has passed."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.passed_s += timeout or 0.0
        return super().select(0)


class _SkippingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.passed_s


class _Redis(MemoryRegistry):
    """Counts what it is asked, and needs a millisecond for it."""

    def __init__(self, now: asyncio.AbstractEventLoop) -> None:
        super().__init__(now.time)
        self.asked: Counter[str] = Counter()

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        self.asked["look"] += 1
        await asyncio.sleep(0.001)
        return await super().renew(worker, info, lease_s)

    async def claim(self, worker: WorkerId, seen_end_ms: int) -> bool:
        self.asked["claim"] += 1
        await asyncio.sleep(0.001)
        return await super().claim(worker, seen_end_ms)


class _Worker:
    """A worker that is nothing but a member."""

    def __init__(self, fleet: Fleet) -> None:
        loop = asyncio.get_running_loop()
        self.me = new_worker_id()
        self.buried = False
        self.members = Members(self.me, INFO, lease_s=LEASE_S, now=loop.time())
        self.membership = Membership(
            self.members,
            fleet.redis,
            self,
            tell_everyone=fleet.tell,
            after_renewal=self._nothing,
            died=partial(fleet.deaths.append, self.me),
            now=loop.time,
        )
        self.running = loop.create_task(self.membership.run())

    async def _nothing(self) -> None: ...

    def worker_joined(self, worker: WorkerId, info: WorkerInfo) -> None: ...

    def worker_gone(self, worker: WorkerId) -> None: ...

    def workers_changed(self) -> None: ...

    def renewed(self) -> None: ...

    def fenced(self) -> None:
        self.buried = True

    async def sweep(self, worker: WorkerId) -> bool:
        return True


class Fleet:
    """Workers with one Redis."""

    def __init__(self) -> None:
        self.redis = _Redis(asyncio.get_running_loop())
        self.deaths: list[WorkerId] = []
        self.workers: list[_Worker] = []

    def tell(self, envelope: Arrived | Leaving | Gone) -> None:
        for worker in self.workers:
            asyncio.get_running_loop().call_soon(worker.membership.news, envelope)

    def arrive(self, count: int = 1) -> None:
        self.workers += [_Worker(self) for _ in range(count)]

    async def leave(self, worker: _Worker) -> None:
        worker.membership.say(replace(INFO, leaving=True))
        await asyncio.sleep(0.5)
        self.workers.remove(worker)
        await worker.membership.leave(1.0)
        await self.end(worker)

    async def end(self, worker: _Worker) -> None:
        worker.running.cancel()
        await asyncio.gather(worker.running, return_exceptions=True)

    async def stop(self) -> None:
        for worker in self.workers:
            await self.end(worker)

    @property
    def agreed(self) -> bool:
        """Whether each knows exactly those that live."""
        living = {worker.me for worker in self.workers}
        return all(worker.members.known.keys() == living for worker in self.workers)

    async def agree(self) -> float:
        """Wait until they do. Returns how long it took."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while not self.agreed:
            await asyncio.sleep(0.1)
            assert loop.time() - begin < 60
        return loop.time() - begin


def run(simulation: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=_SkippingLoop) as runner:
        runner.run(simulation)


def test_two_hundred_that_arrive_at_once_look_a_few_times_each() -> None:
    """Red where each arrival is looked at at once. Time is that of a renewal and a half."""

    async def arrivals() -> None:
        at_once = Fleet()
        at_once.arrive(200)
        assert await at_once.agree() <= 1.5 * RENEWAL_S
        assert at_once.redis.asked["look"] <= 4 * 200
        await at_once.stop()

        fleet = Fleet()
        fleet.arrive(100)
        await fleet.agree()
        looks = fleet.redis.asked["look"]
        for _ in range(100):  # over a second
            fleet.arrive()
            await asyncio.sleep(0.01)

        assert await fleet.agree() <= 1.5 * RENEWAL_S
        assert fleet.redis.asked["look"] - looks <= 4 * 200
        assert not fleet.redis.asked["claim"]
        await fleet.stop()

    run(arrivals())


def test_a_hundred_that_are_rolled_look_no_more_than_redis_bears_and_bury_nobody() -> None:
    """Each goes, and another comes, one after the other, within two minutes."""

    async def rolling() -> None:
        loop = asyncio.get_running_loop()
        fleet = Fleet()
        fleet.arrive(100)
        await fleet.agree()
        looks, begin = fleet.redis.asked["look"], loop.time()
        for worker in list(fleet.workers):
            fleet.arrive()
            await fleet.leave(worker)
            await asyncio.sleep(0.7)

        took_s = loop.time() - begin
        assert await fleet.agree() <= 1.5 * RENEWAL_S
        renewals = 100 * took_s / RENEWAL_S
        assert fleet.redis.asked["look"] - looks <= renewals + 1.2 * LOOKS_PER_SECOND * took_s
        assert not fleet.deaths
        assert not fleet.redis.asked["claim"]
        assert not any(worker.buried for worker in fleet.workers)
        await fleet.stop()

    run(rolling())


def test_ten_that_die_of_a_hundred_are_claimed_a_few_times_each_and_not_by_all() -> None:
    """Red where all look at the end of a lease in the same moment: 90 claims for each."""

    async def deaths() -> None:
        fleet = Fleet()
        fleet.arrive(100)
        await fleet.agree()
        await asyncio.sleep(2 * LEASE_S)  # until absence is believed
        for worker in fleet.workers[:10]:
            await fleet.end(worker)
        del fleet.workers[:10]
        await asyncio.sleep(0.1)

        assert await fleet.agree() <= LEASE_S + RENEWAL_S
        assert len(fleet.deaths) == 10
        assert fleet.redis.asked["claim"] <= 10 * 10
        assert not any(worker.buried for worker in fleet.workers)
        await fleet.stop()

    run(deaths())
