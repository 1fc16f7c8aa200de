"""A slot whose keys are partly with its next master: what can be answered is, and the rest waits.

Its owner refuses with ASK what it has no key of, and with TRYAGAIN what it has some keys of.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.channel_broker.base import Publishing
from gateway.channel_broker.redis_cluster import ClusterChannelBroker
from gateway.presence.base import PresenceChange, PresenceStats
from gateway.presence.redis import RedisPresenceStore
from gateway.protocol.channel_messages import ClientInfo
from gateway.redis_support import keys
from gateway.redis_support.client import fence
from gateway.redis_support.slots import slot_of
from gateway.redis_support.url import parse
from gateway.registry.redis import RedisRegistry
from tests.contract.channel_brokers import KEPT, Listener, running
from tests.contract.conftest import INFO, entry
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_cluster import ClusterNode, RedisCluster
from tests.support.waiting import eventually

PREFIX = "migrating"
AT_ONCE_S = 1.0  # and not after the 3 s in which what is refused is sent again
_names = itertools.count()


class MovingSlot:
    """A slot on its way to another master."""

    def __init__(self, cluster: RedisCluster, slot: int) -> None:
        self.cluster, self.slot = cluster, slot
        self.source = cluster.master_of(slot)
        self.to: ClusterNode = next(n for n in cluster.nodes[:3] if n is not self.source)

    async def begin(self) -> None:
        await asyncio.to_thread(self.cluster.begin_move, self.slot, self.to)

    def found(self) -> list[bytes]:
        """Our keys that its owner has."""
        every = self.source.ask("CLUSTER", "GETKEYSINSLOT", self.slot, 1000)
        return [key for key in every if key.startswith(PREFIX.encode())]

    async def keys(self, *names: str | bytes) -> None:
        await asyncio.to_thread(self.cluster.move_keys, self.slot, self.to, *names)

    async def end(self) -> None:
        await asyncio.to_thread(self.cluster.end_move, self.slot, self.to)

    def end_if_moving(self) -> None:
        if self.cluster.master_of(self.slot) is self.source:
            self.cluster.end_move(self.slot, self.to)

    def refusals(self) -> int:
        """How often its owner has said that keys are here and there."""
        told = self.source.ask("INFO", "errorstats")
        found = re.search(rb"errorstat_TRYAGAIN:count=(\d+)", told)
        return int(found[1]) if found else 0


class Moving(MovingSlot):
    """The slot of one channel."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.channel = f"room{next(_names)}"
        self.history = keys.history(PREFIX, self.channel)
        self.meta = keys.history_meta(PREFIX, self.channel)
        super().__init__(cluster, slot_of(self.history))


@pytest.fixture
def leases(redis_cluster: RedisCluster) -> Iterator[MovingSlot]:
    """The slot of all leases."""
    made = MovingSlot(redis_cluster, slot_of(keys.workers(PREFIX)))
    yield made
    made.end_if_moving()


@pytest.fixture
def moving(redis_cluster: RedisCluster) -> Iterator[Moving]:
    made = Moving(redis_cluster)
    yield made
    made.end_if_moving()


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
    await eventually(moving.refusals, "a refusal")
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
        found = moving.found()
        await moving.keys(*found)
        assert len(found) == 3

        async with asyncio.timeout(AT_ONCE_S):
            assert await store.write(me, 2, [PresenceChange(channel, "2", bob)], upon=range(1, 2))
            assert await store.stats(channel) == PresenceStats(2, 2)
            assert set(await store.members(channel)) == {"1", "2"}
    finally:
        await store.aclose()


async def test_a_registry_that_is_with_the_next_master_is_kept_there(
    redis_cluster: RedisCluster, leases: MovingSlot
) -> None:
    """Leases too. Red when what is refused with ASK waits for the end of the move."""
    registry = RedisRegistry(parse(redis_cluster.url), prefix=PREFIX)
    me, dead = (new_worker_id() for _ in range(2))
    one, two = new_connection_id(me), new_connection_id(me)
    try:
        for worker in (me, dead):
            await registry.renew(worker, INFO, 60.0)
        await registry.fence(dead)
        assert await registry.write(me, 1, {one: entry(1)}, upon=None)
        await leases.begin()
        await leases.keys(*leases.found())

        async with asyncio.timeout(AT_ONCE_S):
            assert me in (await registry.renew(me, INFO, 60.0)).workers
            assert dead in (await registry.renew(dead, INFO, 60.0)).fenced
            assert me in (await registry.look()).workers
            assert await registry.write(me, 2, {two: entry(2)}, upon=range(1, 2))
            assert await registry.revision(me) == 2
            assert {one async for one, _ in registry.entries(me)} == {one, two}
            assert [connection for connection, _ in await registry.of_user("user2")] == [two]
            await registry.remove(me, [one])
            assert (await registry.backlog(me)).entries == 1
    finally:
        await registry.aclose()


async def test_a_renewal_waits_while_the_keys_of_leases_are_here_and_there(
    redis_cluster: RedisCluster, leases: MovingSlot
) -> None:
    """And is done as soon as they are together. Red when it fails, and is tried again later."""
    registry = RedisRegistry(parse(redis_cluster.url), prefix=PREFIX)
    me = new_worker_id()
    try:
        await registry.renew(me, INFO, 60.0)
        await leases.begin()
        await leases.keys(keys.workers(PREFIX))
        leases.source.ask("CONFIG", "RESETSTAT")
        renewing = asyncio.create_task(registry.renew(me, INFO, 60.0))
        looking = asyncio.create_task(registry.look())
        await eventually(lambda: leases.refusals() > 2, "refusals")
        assert not renewing.done()
        assert not looking.done()
        await leases.end()

        async with asyncio.timeout(AT_ONCE_S):
            assert me in (await renewing).workers
            assert me in (await looking).workers
            assert me in (await registry.renew(me, INFO, 60.0)).workers
    finally:
        await registry.aclose()


async def test_a_dead_child_is_fenced_where_the_keys_of_leases_are(
    redis_cluster: RedisCluster, leases: MovingSlot
) -> None:
    address = parse(redis_cluster.url)
    registry = RedisRegistry(address, prefix=PREFIX)
    me, child = (new_worker_id() for _ in range(2))
    try:
        for worker in (me, child):
            await registry.renew(worker, INFO, 60.0)
        await leases.begin()
        await leases.keys(keys.workers(PREFIX), keys.dead(PREFIX))

        assert await asyncio.to_thread(fence, address, PREFIX, child, deadline_s=AT_ONCE_S)

        await leases.end()
        assert child in (await registry.look()).fenced
    finally:
        await registry.aclose()
