"""News of a worker and of others, when renewals are slow or what follows them fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from gateway.cluster.membership import Membership
from gateway.errors import BrokerUnavailable
from gateway.protocol.envelopes.membership import Arrived, Gone, Leaving
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.members import Members
from gateway.registry.base import Entry
from gateway.registry.memory import MemoryRegistry
from tests.support.ids import new_connection_id
from tests.support.logs import capture_logs
from tests.support.waiting import eventually

ME = WorkerId("m" * 16)
OTHER = WorkerId("o" * 16)
INFO = WorkerInfo(edge=True, handler=True)
LEASE_S = 100.0  # the next renewal but one is half a minute away


class SlowRegistry(MemoryRegistry):
    """A registry that answers a renewal when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[WorkerInfo] = []
        self.answers = asyncio.Semaphore(0)

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        self.asked.append(info)
        leases = await super().renew(worker, info, lease_s)
        await self.answers.acquire()
        return leases


class Watcher:
    """Somebody who remembers who joined, and does nothing about the rest."""

    def __init__(self) -> None:
        self.joined: list[WorkerId] = []

    def worker_joined(self, worker: WorkerId, info: WorkerInfo) -> None:
        self.joined.append(worker)

    def worker_gone(self, worker: WorkerId) -> None: ...

    def workers_changed(self) -> None: ...

    def renewed(self) -> None: ...

    def fenced(self) -> None: ...

    async def sweep(self, worker: WorkerId) -> bool:
        return True


class Interrupted(Watcher):
    """One whose first sweep does not get to its end."""

    sweeps = 0

    async def sweep(self, worker: WorkerId) -> bool:
        self.sweeps += 1
        return self.sweeps > 1


async def nothing() -> None: ...


def membership(
    registry: MemoryRegistry,
    watcher: Watcher | None = None,
    after_renewal: Callable[[], Awaitable[None]] = nothing,
    died: Callable[[], None] = lambda: None,
    lease_s: float = LEASE_S,
) -> Membership:
    now = asyncio.get_running_loop().time
    return Membership(
        Members(ME, INFO, lease_s=lease_s, now=now()),
        registry,
        watcher or Watcher(),
        tell_everyone=lambda envelope: None,
        after_renewal=after_renewal,
        died=died,
        now=now,
    )


async def test_what_a_worker_says_during_a_renewal_is_in_the_next_one_at_once() -> None:
    registry = SlowRegistry()
    it = membership(registry)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.run())
        await eventually(lambda: registry.asked, "the first renewal")
        it.say(replace(INFO, leaving=True))
        registry.answers.release()

        await eventually(lambda: len(registry.asked) == 2, "the second renewal")
        running.cancel()

    assert [info.leaving for info in registry.asked] == [False, True]


async def test_a_worker_that_arrives_during_a_renewal_is_looked_for_at_once() -> None:
    registry = SlowRegistry()
    it = membership(registry)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.run())
        await eventually(lambda: registry.asked, "the first renewal")
        it.news(Arrived(OTHER))
        registry.answers.release()

        await eventually(lambda: len(registry.asked) == 2, "the second renewal")
        running.cancel()


async def test_a_change_that_is_told_is_not_looked_at() -> None:
    """Red where all look at all leases, for each that comes or goes."""
    registry, watcher = SlowRegistry(), Watcher()
    it = membership(registry, watcher)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.run())
        await eventually(lambda: registry.asked, "the first renewal")
        it.news(Arrived(OTHER, INFO))
        it.news(Arrived(OTHER, INFO))
        assert watcher.joined == [OTHER]
        it.news(Gone(OTHER, swept=True))

        assert it._looking_soon is None
        it.news(Arrived(OTHER, INFO))  # of one that has gone: who knows
        assert watcher.joined == [OTHER]
        assert it._looking_soon is not None
        running.cancel()


async def test_what_workers_become_is_told_as_it_is_heard() -> None:
    it = membership(SlowRegistry())
    told: list[tuple[WorkerId, str]] = []
    it.became = lambda worker, became: told.append((worker, became))
    another = WorkerId("p" * 16)

    for news in (Arrived(OTHER, INFO), Leaving(OTHER), Leaving(OTHER), Gone(OTHER, swept=True),
                 Arrived(another, INFO), Gone(another), Gone(another)):  # fmt: skip
        it.news(news)
    it.say(replace(INFO, leaving=True))
    it._news_is_seen()

    assert told == [
        (OTHER, "live"), (OTHER, "leaving"), (OTHER, "gone"),
        (another, "live"), (another, "fenced"), (ME, "leaving"),
    ]  # fmt: skip


async def test_what_workers_become_is_told_as_leases_say_it() -> None:
    """One dies and is swept here; two, that others fenced and that left, were not told of."""
    registry, told = MemoryRegistry(), list[tuple[WorkerId, str]]()
    fenced, left = WorkerId("f" * 16), WorkerId("l" * 16)
    await registry.renew(OTHER, INFO, 0.3)
    await registry.renew(fenced, replace(INFO, leaving=True), LEASE_S)
    await registry.renew(left, INFO, LEASE_S)
    it = membership(registry, lease_s=0.2)
    it.became = lambda worker, became: told.append((worker, became))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.run())
        await eventually(lambda: len(told) == 3, "all three")
        await registry.fence(fenced)
        await registry.leave(left)
        await eventually(lambda: (OTHER, "swept") in told, "the sweep")
        await eventually(lambda: (left, "gone") in told, "who left")
        running.cancel()
    of = {worker: [became for it, became in told if it == worker] for worker, _ in told}

    assert of[OTHER] == ["live", "fenced", "swept"]
    assert of[fenced][:2] == ["leaving", "fenced"]
    assert of[left] == ["live", "gone"]


async def test_who_has_gone_and_left_something_is_looked_after() -> None:
    it = membership(SlowRegistry())
    it.news(Arrived(OTHER, INFO))
    it.news(Gone(OTHER))

    assert it._looking_soon is not None
    it._news_is_seen()


@pytest.mark.parametrize("unfinished", [False, True])
async def test_who_leaves_says_whether_it_has_left_anything(*, unfinished: bool) -> None:
    told: list[object] = []
    it = membership(MemoryRegistry())
    it._tell_everyone = told.append

    await it.leave(1.0, unfinished=unfinished)

    assert told == [Gone(ME, swept=not unfinished)]


async def test_no_renewal_waits_for_what_follows_the_one_before() -> None:
    """Red where it was awaited: a registry that is slow to answer cost a worker its lease."""
    registry, followed = SlowRegistry(), 0

    async def hang() -> None:
        nonlocal followed
        followed += 1
        await asyncio.get_running_loop().create_future()

    it = membership(registry, after_renewal=hang)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.run())
        for renewal in (1, 2, 3):
            await eventually(lambda: len(registry.asked) == renewal, "a renewal")  # noqa: B023
            registry.answers.release()
            it.news(Arrived(OTHER))  # look again at once
        running.cancel()

    assert followed == 1


async def test_what_a_renewal_has_told_is_acted_on_even_if_what_follows_it_fails() -> None:
    registry, watcher, failures = MemoryRegistry(), Watcher(), 0
    await registry.renew(OTHER, INFO, LEASE_S)

    async def fail() -> None:
        nonlocal failures
        failures += 1
        raise BrokerUnavailable("gone")

    it = membership(registry, watcher, fail)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.run())
        await eventually(lambda: failures == 1, "the failure")
        running.cancel()

    assert watcher.joined == [OTHER]


@pytest.mark.parametrize(("leaving", "fenced"), [(False, False), (False, True), (True, True)])
async def test_a_death_is_counted_once_whoever_fences_the_worker(
    monkeypatch: pytest.MonkeyPatch, *, leaving: bool, fenced: bool
) -> None:
    """Also where its sweep is claimed again. Who was leaving has not died of itself."""
    monkeypatch.setattr("gateway.registry.memory.CLAIM_S", 0.05)
    registry, watcher, deaths = MemoryRegistry(), Interrupted(), 0

    def died() -> None:
        nonlocal deaths
        deaths += 1

    await registry.renew(OTHER, replace(INFO, leaving=leaving), 0.05)
    entries = {new_connection_id(OTHER): Entry(None, "192.0.2.1", "", "text", 0) for _ in range(3)}
    await registry.write(OTHER, 1, entries, upon=None)
    if fenced:
        await registry.fence(OTHER)
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as tasks:
            it = membership(registry, watcher, died=died, lease_s=0.2)
            running = tasks.create_task(it.run())
            await eventually(lambda: any(e["event"] == "worker swept" for e in logs), "the sweep")
            running.cancel()

    assert deaths == (not leaving)
    assert watcher.sweeps == 2
    assert [e["connections"] for e in logs if e["event"] == "worker swept"] == [3]
