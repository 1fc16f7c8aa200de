"""Nobody's renewal waits behind anything else, nor is it lost because a handler held the loop."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.slots import slot_of
from gateway.redis_support.url import parse
from gateway.registry.lease_connection import Call, LeaseConnection
from gateway.registry.redis import RedisRegistry
from tests.contract.conftest import INFO, Connect
from tests.support.ids import new_worker_id
from tests.support.redis_cluster import ClusterNode, RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

_prefixes = itertools.count()
SHARED_CONNECTIONS = 4


async def test_a_renewal_does_not_wait_behind_listings_and_writes(
    redis_server: RedisServer, connect: Connect
) -> None:
    """Red where leases share the connections of the registry."""
    registry, me = connect(redis_server, f"lease{next(_prefixes)}"), new_worker_id()
    gate = f"gate{next(_prefixes)}"
    with redis_server.client() as admin:
        others = [
            asyncio.ensure_future(registry.redis.blpop([gate], 0))
            for _ in range(SHARED_CONNECTIONS)
        ]
        await eventually(
            lambda: admin.info("clients")["blocked_clients"] >= SHARED_CONNECTIONS, "who waits"
        )

        leases = await registry.renew(me, INFO, 10.0)

        assert not any(other.done() for other in others)
        assert me in leases.workers
        admin.rpush(gate, *range(SHARED_CONNECTIONS))
        await asyncio.gather(*others)


async def test_a_renewal_connects_anew_after_its_connection_was_cut(
    redis_server: RedisServer, connect: Connect
) -> None:
    registry, me = connect(redis_server, f"lease{next(_prefixes)}"), new_worker_id()
    await registry.renew(me, INFO, 10.0)
    connection = registry._lease._owner.connection
    assert connection is not None
    connection.abort()
    await connection.lost

    assert me in (await registry.renew(me, INFO, 10.0)).workers


async def test_a_cluster_that_is_down_is_not_connected_to_with_each_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot that nobody has is enough for that, where all must be covered. Red when a refusal
    costs its connection: twenty a second from each worker, at a master that is well.
    """
    monkeypatch.setattr("gateway.registry.lease_connection.REDIS_DEADLINE_S", 10.0)
    with RedisCluster(tmp_path, masters=1, replicas=0) as cluster:
        [node] = cluster.nodes
        address, me = parse(cluster.url), new_worker_id()
        registry = RedisRegistry(address, prefix="down")
        try:
            await registry.renew(me, INFO, 10.0)
            connection = registry._lease._owner.connection
            assert connection is not None
            node.ask("CLUSTER", "DELSLOTS", slot_of("down:{other}"))
            await eventually(lambda: "cluster_state:fail" in node.info, "a Cluster that is down")

            renewing = asyncio.create_task(registry.renew(me, INFO, 10.0))
            await eventually(lambda: b"errorstat_CLUSTERDOWN:count=" in refusals(node), "a refusal")
            node.ask("CLUSTER", "ADDSLOTS", slot_of("down:{other}"))

            assert me in (await renewing).workers
            assert registry._lease._owner.connection is connection
        finally:
            await registry.aclose()
            assert address.cluster is not None
            await address.cluster.aclose()


def refusals(node: ClusterNode) -> bytes:
    told: bytes = node.ask("INFO", "errorstats")
    return told


async def test_a_reply_that_came_while_the_loop_was_held_is_read_before_its_deadline_counts(
    redis_server: RedisServer,
) -> None:
    """Red without the second look: timers may run before what has come in is read."""
    loop = asyncio.get_running_loop()
    connection = await RedisConnection.connect(
        parse(redis_server.url), deadline_s=3.0, name="gateway.test"
    )
    connection._deadline_s = 0.2
    replies: list[asyncio.Future[list[Any]]] = []
    here, there = socket.socketpair()

    def hold() -> None:
        here.recv(1)
        replies.append(connection.execute([("PING",)]))
        time.sleep(0.3)

    loop.add_reader(here, hold)
    try:
        there.send(b"!")
        await eventually(lambda: replies, "the held loop")

        assert await replies[0] == [b"PONG"]
        assert not connection.lost.done()
    finally:
        loop.remove_reader(here)
        here.close()
        there.close()
        connection.abort()


async def test_whoever_is_cancelled_while_it_connects_leaves_no_connection_behind(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever turn of the loop. Red while a connection that stood in that very turn was
    nobody's: it stayed open, and uvloop hung when its loop was to close."""
    made: list[RedisConnection] = []
    connect = RedisConnection.connect

    async def noted(*arguments: Any, **options: Any) -> RedisConnection:
        made.append(await connect(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(RedisConnection, "connect", noted)
    for turns in range(40):
        lease = LeaseConnection(parse(redis_server.url), name="test")
        asking = asyncio.create_task(lease.run(Call("return 1", ())))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        await lease.aclose()

    assert made
    await eventually(lambda: all(one.lost.done() for one in made), "the end of all connections")
