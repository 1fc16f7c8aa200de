"""A slot whose keys are partly with its next master: what can be answered is, and the rest waits.

Its owner refuses with ASK what it has no key of, and with TRYAGAIN what it has some keys of.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.channel_broker.base import Publishing
from gateway.channel_broker.redis_cluster import ClusterChannelBroker
from gateway.presence.base import PresenceChange, PresenceStats
from gateway.presence.redis import RedisPresenceStore
from gateway.protocol.channel_messages import ClientInfo
from gateway.redis_support import keys
from gateway.redis_support.address import parse
from gateway.redis_support.slots import slot_of
from gateway.registry.redis import RedisRegistry
from tests.contract.channel_brokers import KEPT, Listener, running
from tests.contract.conftest import INFO, entry
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_cluster import ClusterNode, RedisCluster
from tests.support.waiting import eventually

PREFIX = "migrating"
AT_ONCE_S = 1.0  # and not after the 3 s in which what is refused is sent again
_names = itertools.count()


class Moving:
    """The slot of one channel, on its way to another master."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.channel = f"room{next(_names)}"
        self.history = keys.history(PREFIX, self.channel)
        self.meta = keys.history_meta(PREFIX, self.channel)
        self.slot = slot_of(self.history)
        self.cluster = cluster
        self.source = cluster.master_of(self.slot)
        self.to: ClusterNode = next(n for n in cluster.nodes[:3] if n is not self.source)

    async def begin(self) -> None:
        await asyncio.to_thread(self.cluster.begin_move, self.slot, self.to)

    async def keys(self, *names: str | bytes) -> None:
        await asyncio.to_thread(self.cluster.move_keys, self.slot, self.to, *names)

    async def end(self) -> None:
        await asyncio.to_thread(self.cluster.end_move, self.slot, self.to)


@pytest.fixture
def moving(redis_cluster: RedisCluster) -> Iterator[Moving]:
    made = Moving(redis_cluster)
    yield made
    if redis_cluster.master_of(made.slot) is made.source:
        redis_cluster.end_move(made.slot, made.to)


@pytest.fixture
async def broker(redis_cluster: RedisCluster) -> AsyncIterator[ClusterChannelBroker]:
    made = ClusterChannelBroker(parse(redis_cluster.url), prefix=PREFIX)
    async with running(made, Listener()):
        yield made


async def test_a_history_that_is_with_the_next_master_is_read_there(
    broker: ClusterChannelBroker, moving: Moving
) -> None:
    """Red when what was refused with ASK only waits: it was for 3 s, and then failed."""
    first = await broker.publish(Publishing(moving.channel, b"1", KEPT))
    await moving.begin()
    await moving.keys(moving.history, moving.meta)

    async with asyncio.timeout(AT_ONCE_S):
        read = await broker.read(moving.channel, 0, KEPT)
        page = await broker.page(moving.channel, KEPT, limit=5)

    assert (read.top, page.top) == (first.position, first.position)
    assert read.publications == page.publications
    assert [one.payload for one in read.publications] == [b"1"]
    async with asyncio.timeout(AT_ONCE_S):
        await broker.remove_history(moving.channel)
    await moving.end()
    read = await broker.read(moving.channel, 0, KEPT)
    assert (read.top, read.publications) == (first.position, [])


async def test_what_is_partly_here_and_there_waits_until_it_is_together(
    broker: ClusterChannelBroker, moving: Moving
) -> None:
    await broker.publish(Publishing(moving.channel, b"1", KEPT))
    await moving.begin()
    await moving.keys(moving.meta)
    reading = asyncio.create_task(broker.read(moving.channel, 0, KEPT))
    moving.source.ask("CONFIG", "RESETSTAT")
    await eventually(
        lambda: b"errorstat_TRYAGAIN" in moving.source.ask("INFO", "errorstats"), "a refusal"
    )
    assert not reading.done()

    await moving.keys(moving.history)

    async with asyncio.timeout(AT_ONCE_S):
        assert len((await reading).publications) == 1


async def test_a_publication_waits_for_the_slot_and_reaches_who_is_subscribed(
    broker: ClusterChannelBroker, redis_cluster: RedisCluster, moving: Moving
) -> None:
    """It would reach nobody at the next master: until the slot is there nobody is subscribed."""
    listener = Listener()
    other = ClusterChannelBroker(parse(redis_cluster.url), prefix=PREFIX)
    async with running(other, listener):
        await other.subscribe(moving.channel)
        await broker.publish(Publishing(moving.channel, b"1", KEPT))
        await moving.begin()
        await moving.keys(moving.history, moving.meta)

        publishing = broker.publish(Publishing(moving.channel, b"2", KEPT))
        async with asyncio.timeout(AT_ONCE_S):
            assert len((await broker.read(moving.channel, 0, KEPT)).publications) == 1
        assert not publishing.done()
        await moving.end()

        stored = await publishing
        assert stored.position is not None
        assert stored.position.offset == 2
        await eventually(
            lambda: listener.offsets(moving.channel) == [1, 2] or listener.resyncs, "the second"
        )


async def test_presence_that_is_with_the_next_master_is_kept_there(
    redis_cluster: RedisCluster, moving: Moving
) -> None:
    store = RedisPresenceStore(parse(redis_cluster.url), prefix=PREFIX)
    me, channel = new_worker_id(), moving.channel
    ann, bob = ClientInfo("ann", "1"), ClientInfo("bob", "2")
    try:
        assert await store.write(me, 1, [PresenceChange(channel, "1", ann)], upon=None)
        await moving.begin()
        found = moving.source.ask("CLUSTER", "GETKEYSINSLOT", moving.slot, 100)
        await moving.keys(*found)
        assert len([one for one in found if one.startswith(PREFIX.encode())]) == 3

        async with asyncio.timeout(AT_ONCE_S):
            assert await store.write(me, 2, [PresenceChange(channel, "2", bob)], upon=range(1, 2))
            assert await store.stats(channel) == PresenceStats(2, 2)
            assert set(await store.members(channel)) == {"1", "2"}
    finally:
        await store.aclose()


async def test_a_registry_that_is_with_the_next_master_is_kept_there(
    redis_cluster: RedisCluster,
) -> None:
    """Red when what is refused with ASK waits for the end of the move."""
    slot = slot_of(keys.workers(PREFIX))
    source = redis_cluster.master_of(slot)
    to = next(node for node in redis_cluster.nodes[:3] if node is not source)
    registry = RedisRegistry(parse(redis_cluster.url), prefix=PREFIX)
    me, dead, left = (new_worker_id() for _ in range(3))
    one, two = new_connection_id(me), new_connection_id(me)
    try:
        for worker in (me, dead, left):
            await registry.renew(worker, INFO, 60.0)
        await registry.fence(dead)
        await registry.leave(left)
        assert await registry.write(me, 1, {one: entry(1)}, upon=None)
        await asyncio.to_thread(redis_cluster.begin_move, slot, to)
        found = [
            key for key in source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000)
            if key.startswith(PREFIX.encode())
        ]  # fmt: skip
        await asyncio.to_thread(redis_cluster.move_keys, slot, to, *found)

        async with asyncio.timeout(AT_ONCE_S):
            assert me in (await registry.look()).workers
            assert await registry.write(me, 2, {two: entry(2)}, upon=range(1, 2))
            assert await registry.revision(me) == 2
            assert {one async for one, _ in registry.entries(me)} == {one, two}
            assert [connection for connection, _ in await registry.of_user("user2")] == [two]
            await registry.remove(me, [one])
            assert (await registry.backlog(me)).entries == 1
    finally:
        await registry.aclose()
        await asyncio.to_thread(redis_cluster.end_move, slot, to)
