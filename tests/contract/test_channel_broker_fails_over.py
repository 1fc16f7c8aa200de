"""Another server than before: an old snapshot, or a replica that lacks the tail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.channel_broker.base import Publishing
from gateway.errors import BrokerUnavailable, UnrecoverablePosition
from gateway.protocol.channel_position import Position
from gateway.redis_support import keys
from tests.contract.channel_brokers import (
    KEPT,
    Listener,
    Make,
    channel,
    eventually_read,
    no_offset_twice,
    publish,
    said,
    until_connected,
)
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import blocking_eventually, eventually


async def test_a_restarted_server_with_a_snapshot_begins_another_epoch(
    make: Make, own_redis: RedisServer
) -> None:
    """Red without the run id: the snapshot gives offset 2 to another publication."""
    listener, name = Listener(), channel()
    broker = await make(own_redis.url, listener)
    await broker.subscribe(name)
    [one] = await said(broker, name, 1)
    with own_redis.client() as admin:
        admin.save()
    await said(broker, name, 3)
    await broker.settle()
    own_redis.kill()
    own_redis.start()

    top = (await eventually_read(broker, name)).epoch
    assert one.position is not None
    assert top != one.position.epoch
    await until_connected(broker)
    await eventually(lambda: listener.resyncs, "a resync")
    await said(broker, name, 5)
    await broker.settle()
    no_offset_twice(listener)


@pytest.fixture
def replica(own_redis: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "replica"
    folder.mkdir()
    follows = ("--replicaof", f"127.0.0.1 {own_redis.port}", "--repl-diskless-sync-delay", "0")
    with RedisServer(folder, *follows) as server:
        with server.client() as admin:
            blocking_eventually(
                lambda: admin.info("replication")["master_link_status"] == "up", "replication", 15
            )
        yield server


@pytest.mark.parametrize("first", ["publish", "read"])
async def test_a_replica_without_the_tail_gives_no_offset_out_again(
    make: Make, own_redis: RedisServer, replica: RedisServer, first: str
) -> None:
    """Red without the run id: offsets 4 to 6 name two publications."""
    async with Proxy(own_redis.port) as proxy:
        one, two, name = Listener(), Listener(), channel()
        publisher, subscriber = await make(proxy.url, one), await make(proxy.url, two)
        await asyncio.gather(publisher.subscribe(name), subscriber.subscribe(name))
        await said(publisher, name, 3)
        with replica.client() as admin:
            key = keys.history("bad", name)
            blocking_eventually(lambda: admin.xlen(key) == 3, "replication")
            admin.execute_command("REPLICAOF", "NO", "ONE")
        lost = [await publisher.publish(Publishing(name, b"lost%d" % n, KEPT)) for n in range(4, 7)]
        await asyncio.gather(publisher.settle(), subscriber.settle())
        proxy.target_port = replica.port
        proxy.reset()
        await eventually(lambda: one.resyncs and two.resyncs, "resyncs")

        since = lost[-1].position
        assert since is not None
        if first == "read":
            top = await eventually_read(subscriber, name)
            assert top.offset == 0
            assert top.epoch != since.epoch
        await until_connected(publisher)
        stored = [await publish(publisher, name, b"kept%d" % n) for n in range(6)]
        assert [place.position.offset for place in stored if place.position] == [1, 2, 3, 4, 5, 6]
        assert await eventually_read(subscriber, name) == stored[-1].position
        with pytest.raises(UnrecoverablePosition):
            await subscriber.page(name, KEPT, limit=10, since=since)
        await asyncio.gather(publisher.settle(), subscriber.settle())
        assert two.bodies(name)[-6:] == [b"kept%d" % n for n in range(6)]
        no_offset_twice(one, two)


async def test_a_primary_that_is_demoted_is_left_without_a_break_of_its_links(
    make: Make, own_redis: RedisServer, replica: RedisServer
) -> None:
    """Pub/sub would go on at it, with nothing stored. Red without ``Node.when_moved``."""
    async with Proxy(own_redis.port) as proxy:
        listener, name = Listener(), channel()
        broker = await make(proxy.url, listener)
        await broker.subscribe(name)
        was = (await said(broker, name, 3))[-1].position
        with replica.client() as admin:
            admin.execute_command("REPLICAOF", "NO", "ONE")
        proxy.target_port = replica.port
        with own_redis.client() as admin:
            admin.execute_command("REPLICAOF", "127.0.0.1", str(replica.port))

        stored = await publish(broker, name, b"kept")
        assert was is not None
        assert stored.position is not None
        assert stored.position.offset == 1
        assert stored.position.epoch != was.epoch
        await eventually(lambda: listener.resyncs == [{name}], "a resync")
        await publish(broker, name, b"heard")
        await broker.settle()
        assert listener.bodies(name)[-1] == b"heard"
        no_offset_twice(listener)


async def test_a_history_is_read_at_the_server_that_publishes_or_not_at_all(
    make: Make, own_redis: RedisServer, replica: RedisServer
) -> None:
    """The connection for histories comes to another server than the one that publishes. Red where
    it is used all the same: the script is told the run id of the first, and begins an epoch there.
    """
    async with Proxy(own_redis.port) as proxy:
        listener, name = Listener(), channel()
        broker = await make(proxy.url, listener)
        stored = (await said(broker, name, 3))[-1].position
        assert stored is not None
        key = keys.history("bad", name)
        with replica.client() as admin:
            blocking_eventually(lambda: admin.xlen(key) == 3, "replication")
            admin.execute_command("REPLICAOF", "NO", "ONE")
        proxy.target_port = replica.port

        with pytest.raises(BrokerUnavailable, match="another server"):
            await broker.page(name, KEPT, limit=10)
        with replica.client() as admin:
            assert admin.hget(keys.history_meta("bad", name), "epoch") == stored.epoch.encode()
        again = await broker.publish(Publishing(name, b"4", KEPT))
        assert again.position == Position(stored.epoch, stored.offset + 1)

        proxy.reset()
        await eventually(lambda: listener.resyncs or not broker.connected, "the loss")
        top = await eventually_read(broker, name)
        assert top.epoch != stored.epoch
        assert (await broker.page(name, KEPT, limit=10)).top == top
