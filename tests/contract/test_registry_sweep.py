"""Sweepers of one dead worker share its entries, on every implementation of the registry."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from gateway.protocol.ids import ConnectionId
from gateway.redis_support import keys
from gateway.registry.base import Registry
from tests.contract.conftest import INFO, SOON_S, Connect, ended, entry
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually_async

_prefixes = itertools.count()


async def test_sweepers_take_each_entry_once(registry: Registry) -> None:
    """Red when a field that HSCAN returns twice is taken twice."""
    me = new_worker_id()
    connections = [new_connection_id(me) for _ in range(1500)]
    for start in range(0, 1500, 500):
        some = dict.fromkeys(connections[start : start + 500], entry())
        await registry.write(me, start + 1, some, upon=range(start + 1))
    taken: list[ConnectionId] = []
    swept = 0
    while any(parts := await asyncio.gather(*(registry.take(me, 97) for _ in range(3)))):
        names = [connection for part in parts for connection, _ in part]
        taken += names
        await registry.swept(me, names[::2])  # the hash shrinks meanwhile
        swept += len(names[::2])

    assert sorted(taken) == sorted(connections)
    assert (await registry.left(me)).entries == 1500 - swept


async def test_what_was_given_back_may_be_taken_again(registry: Registry) -> None:
    me = new_worker_id()
    one, two = new_connection_id(me), new_connection_id(me)
    await registry.write(me, 1, {one: entry(1), two: entry(2)}, upon=range(1))
    await registry.take(me, 2)

    await registry.give_back(me, [one])

    assert await registry.take(me, 2) == [(one, entry(1))]


class TestRedisRegistry:
    """What only concerns Redis."""

    async def test_a_sweeper_has_an_entry_for_as_long_as_it_holds_on(
        self, connect: Connect, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.registry.redis.CLAIM_S", 0.4)
        prefix, me = f"shared{next(_prefixes)}", new_worker_id()
        registry, other = connect(redis_server, prefix), connect(redis_server, prefix)
        await registry.write(me, 1, {new_connection_id(me): entry()}, upon=range(1))
        [(connection, _)] = await registry.take(me, 10)
        end = asyncio.get_running_loop().time() + 0.8
        while asyncio.get_running_loop().time() < end:
            await registry.hold(me, [connection])
            assert await other.take(me, 10) == []

        async def taken() -> bool:
            return bool(await other.take(me, 10))

        await eventually_async(taken, "the end of what nobody holds on to")

    async def test_what_is_no_entry_does_not_keep_a_sweep(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix, me = f"odd{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        await registry.write(me, 1, {new_connection_id(me): entry()}, upon=range(1))
        with redis_server.client() as admin:
            admin.hset(keys.connections(prefix, me), mapping={b"\xff": "x", "junk": "x"})

        for connection, _ in await registry.take(me, 3):
            await registry.swept(me, [connection])

        assert await registry.take(me, 3) == []
        assert (await registry.left(me)).entries == 0


async def test_a_lease_that_was_renewed_since_it_was_seen_is_not_claimed(
    registry: Registry,
) -> None:
    """The clock is set while a claim is under way, and ends what was renewed meanwhile too.

    Red when a claim looks only whether a lease has ended.
    """
    me = new_worker_id()
    await registry.renew(me, INFO, SOON_S)
    seen_end_ms, _ = (await registry.look()).workers[me]
    await ended(registry, me)
    await registry.renew(me, INFO, SOON_S)
    await ended(registry, me)

    assert not await registry.claim(me, seen_end_ms)
    assert me not in (await registry.look()).tombstones
