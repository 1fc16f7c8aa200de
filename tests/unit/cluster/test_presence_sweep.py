"""The sweep of a dead worker's members: each leaves at least once, and nobody else does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from gateway.cluster.presence_sweep import PresenceSweep
from gateway.errors import BrokerUnavailable
from gateway.presence.base import Page, PresenceChange, PresenceStats
from gateway.presence.memory import MemoryPresenceStore
from gateway.protocol import channel_messages
from gateway.protocol.channel_messages import ClientInfo, MessageKind
from gateway.protocol.ids import WorkerId
from tests.support.ids import new_worker_id

DEAD, OTHER = new_worker_id(), new_worker_id()


class Told:
    """Who was said to have left; and fails when it is told to."""

    def __init__(self) -> None:
        self.leaves = Counter[tuple[str, str]]()
        self.times = 0
        self.fails_after = 10**9

    async def __call__(self, channel: str, payload: bytes) -> None:
        read = channel_messages.read(payload)
        assert read is not None
        assert read.kind is MessageKind.LEAVE
        if self.times >= self.fails_after:
            raise BrokerUnavailable("away")
        self.times += 1
        self.leaves[channel, channel_messages.read_client_info(read.body).client] += 1


async def full(members: int = 2500) -> MemoryPresenceStore:
    store = MemoryPresenceStore()
    changes = [
        PresenceChange(f"room{n % 7}", f"c{n}", ClientInfo("ann", f"c{n}")) for n in range(members)
    ]
    await store.write(DEAD, 1, changes, upon=None)
    await store.write(OTHER, 1, [PresenceChange("room0", "x", ClientInfo("bob", "x"))], upon=None)
    return store


async def test_each_member_of_the_dead_leaves_and_no_other() -> None:
    store, told = await full(), Told()

    await PresenceSweep(store, tell=told, tells=lambda channel: channel != "room3").run(DEAD)

    assert set(told.leaves) == {(f"room{n % 7}", f"c{n}") for n in range(2500) if n % 7 != 3}
    assert set(told.leaves.values()) == {1}
    assert await store.stats("room0") == PresenceStats(1, 1)
    assert await store.stats("room3") == PresenceStats(0, 0)
    assert [page async for page in store.pages_of(DEAD)] == []


async def test_a_sweep_that_is_broken_off_is_done_by_the_next() -> None:
    """Red when members are removed before their leave is published."""
    store, told = await full(), Told()
    told.fails_after = 700
    sweep = PresenceSweep(store, tell=told, tells=lambda _: True)
    with pytest.raises(BrokerUnavailable):
        await sweep.run(DEAD)
    told.fails_after = 10**9

    await sweep.run(DEAD)

    assert len(told.leaves) == 2500


async def test_what_cannot_be_reached_holds_up_nobody_else() -> None:
    """Red when the first that fails ends it, or its page. Who was not told of stays."""

    class OnePage(MemoryPresenceStore):
        async def pages_of(self, worker: WorkerId) -> AsyncIterator[Page]:
            pages = [page async for page in super().pages_of(worker)]
            if pages:
                channels = dict.fromkeys(one for page in pages for one in page.channels)
                yield Page([*channels], [one for page in pages for one in page.members])

    filled, store, away, told = await full(), OnePage(), {"room2"}, Told()
    store.__dict__.update(filled.__dict__)

    async def tell(channel: str, payload: bytes) -> None:
        if channel in away:
            raise BrokerUnavailable("away")
        await told(channel, payload)

    sweep = PresenceSweep(store, tell=tell, tells=lambda _: True)
    with pytest.raises(BrokerUnavailable):
        await sweep.run(DEAD)

    rest = [f"c{n}" for n in range(2500) if n % 7 == 2]
    assert len(told.leaves) == 2500 - len(rest)
    assert [*await store.members("room2")] == rest
    away.clear()
    await sweep.run(DEAD)
    assert set(told.leaves.values()) == {1}
    assert len(told.leaves) == 2500


async def test_what_cannot_be_removed_holds_up_nobody_else() -> None:
    class Store(MemoryPresenceStore):
        away = True

        async def remove(self, worker: WorkerId, page: Page) -> None:
            if self.away and "room2" in page.channels:
                raise BrokerUnavailable("away")
            await super().remove(worker, page)

    filled, store, told = await full(50), Store(), Told()
    store.__dict__.update(filled.__dict__)
    sweep = PresenceSweep(store, tell=told, tells=lambda _: True)
    with pytest.raises(BrokerUnavailable):
        await sweep.run(DEAD)

    assert {channel for channel, _ in told.leaves} == {f"room{n}" for n in range(7)}
    store.away = False
    await sweep.run(DEAD)
    assert [page async for page in store.pages_of(DEAD)] == []


async def test_who_is_written_while_the_sweep_is_at_it_is_swept_too() -> None:
    late = PresenceChange("room0", "late", ClientInfo("ann", "late"))

    class Store(MemoryPresenceStore):
        async def remove(self, worker: WorkerId, page: Page) -> None:
            if page.channels == ["room6"]:
                await self.write(worker, 2, [late._replace(channel="new")], upon=None)
            await super().remove(worker, page)

    filled, store, told = await full(50), Store(), Told()
    store.__dict__.update(filled.__dict__)

    await PresenceSweep(store, tell=told, tells=lambda _: True).run(DEAD)

    assert told.leaves["new", "late"] == 1
    assert await store.members("new") == {}


async def test_a_worker_that_is_written_for_without_end_is_given_up_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Store(MemoryPresenceStore):
        async def remove(self, worker: WorkerId, page: Page) -> None:
            [channel] = page.channels
            late = PresenceChange(f"{channel}x", "late", ClientInfo("ann", "late"))
            await self.write(worker, 2, [late], upon=None)
            await super().remove(worker, page)

    store = Store()
    await store.write(DEAD, 1, [PresenceChange("a", "c", ClientInfo("ann", "c"))], upon=None)

    await PresenceSweep(store, tell=Told(), tells=lambda _: True).run(DEAD)

    assert "presence sweep given up" in caplog.text


async def test_the_loop_turns_while_many_are_swept() -> None:
    store, told, turns = await full(50_000), Told(), 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await PresenceSweep(store, tell=told, tells=lambda _: True).run(DEAD)
    ticking.cancel()

    assert turns > 50_000 / 200
    assert len(told.leaves) == 50_000
