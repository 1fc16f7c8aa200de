"""Sweepers of one dead worker share its entries, on every implementation of the registry."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from gateway.protocol.deadlines import CLAIM_S
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.redis_support import keys
from gateway.registry.base import AcquiredEntry, Registry
from tests.contract.conftest import INFO, SOON_S, Connect, ended, entry
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually_async

_prefixes = itertools.count()
SWEEPER = new_worker_id()


async def acquire(
    registry: Registry, worker: WorkerId, count: int, sweeper: WorkerId = SWEEPER
) -> list[AcquiredEntry]:
    return await registry.acquire(worker, count, sweeper=sweeper, poison=True)


async def test_sweepers_take_each_entry_once(registry: Registry) -> None:
    """Red when a field that HSCAN returns twice is taken twice."""
    me = new_worker_id()
    connections = [new_connection_id(me) for _ in range(1500)]
    for start in range(0, 1500, 500):
        some = dict.fromkeys(connections[start : start + 500], entry())
        await registry.write(me, start + 1, some, upon=range(start + 1))
    taken: list[ConnectionId] = []
    swept = 0
    while any(parts := await asyncio.gather(*(acquire(registry, me, 97) for _ in range(3)))):
        names = [connection for part in parts for connection, _, _ in part]
        taken += names
        await registry.remove(me, names[::2])  # the hash shrinks meanwhile
        swept += len(names[::2])

    assert sorted(taken) == sorted(connections)
    assert (await registry.backlog(me)).entries == 1500 - swept


async def test_what_was_given_back_may_be_taken_again(registry: Registry) -> None:
    me = new_worker_id()
    one, two = new_connection_id(me), new_connection_id(me)
    await registry.write(me, 1, {one: entry(1), two: entry(2)}, upon=range(1))
    await acquire(registry, me, 2)

    await registry.release(me, [one])

    assert await acquire(registry, me, 2) == [(one, entry(1), 0)]


async def test_who_died_with_an_entry_is_counted_and_who_lives_or_has_left_is_not(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when attempts are counted by the sweeper alone: they die with it."""
    for module in ("redis_sweeps", "memory"):
        monkeypatch.setattr(f"gateway.registry.{module}.CLAIM_S", SOON_S)
    me, dies, lives, leaves = (new_worker_id() for _ in range(4))
    one, two = new_connection_id(me), new_connection_id(me)
    await registry.write(me, 1, {one: entry(1), two: entry(2)}, upon=range(1))

    async def taken_by(sweeper: WorkerId) -> dict[ConnectionId, int]:
        await registry.renew(sweeper, INFO, 10.0)
        found: list[AcquiredEntry] = []

        async def took() -> bool:
            found.extend(await acquire(registry, me, 2, sweeper))
            return bool(found)

        await eventually_async(took, "the end of the claim")
        return {item.connection: item.deaths for item in found}

    assert await taken_by(leaves) == {one: 0, two: 0}
    await registry.leave(leaves)
    assert await taken_by(lives) == {one: 0, two: 0}
    assert await taken_by(dies) == {one: 0, two: 0}
    await registry.fence(dies)
    [(suspect, deaths)] = (await taken_by(lives)).items()

    assert deaths == 1
    await registry.release(me, [suspect], died=True)
    assert await registry.acquire(me, 2, sweeper=lives, poison=False) == []
    [(other, deaths)] = (await taken_by(lives)).items()
    assert (other != suspect, deaths) == (True, 1)
    await registry.remove(me, [other])
    assert await taken_by(lives) == {suspect: 2}


class TestRedisRegistry:
    """What only concerns Redis."""

    async def test_a_sweeper_has_an_entry_for_as_long_as_it_holds_on(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix, me = f"shared{next(_prefixes)}", new_worker_id()
        registry, other = connect(redis_server, prefix), connect(redis_server, prefix)
        await registry.write(me, 1, {new_connection_id(me): entry()}, upon=range(1))
        [(connection, _, _)] = await acquire(registry, me, 10)
        with redis_server.client() as admin:

            def pass_time(part: float) -> None:
                """As if so much of a claim were over, however late this test is."""
                admin.zincrby(keys.sweep(prefix, me), -part * CLAIM_S * 1000, connection)

            for _ in range(3):
                pass_time(0.4)
                await registry.extend(me, [connection])
                assert await acquire(other, me, 10) == []

            pass_time(1.0)
            assert [taken for taken, _, _ in await acquire(other, me, 10)] == [connection]

    @pytest.mark.parametrize("ends", ["inf", 1e15])
    async def test_an_entry_that_is_held_for_ever_is_acquired_by_and_by(
        self, connect: Connect, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch,
        ends: str | float,
    ) -> None:  # fmt: skip
        """Red before: nobody ever acquired it, and its ``on_disconnect`` was lost with the hour."""
        monkeypatch.setattr("gateway.registry.redis_sweeps.CLAIM_S", 0.2)
        prefix, me = f"held{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        connection = new_connection_id(me)
        await registry.write(me, 1, {connection: entry()}, upon=range(1))
        with redis_server.client() as admin:
            admin.zadd(keys.sweep(prefix, me), {connection: ends})

        async def taken() -> bool:
            return [one.connection for one in await acquire(registry, me, 1)] == [connection]

        await eventually_async(taken, "the end of what nobody can hold")

    async def test_a_sweep_does_not_put_off_the_hour_of_its_entries(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        """Red when each take renews it: what can never be handled is never given up."""
        prefix, me = f"hour{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        await registry.write(me, 1, {new_connection_id(me): entry()}, upon=range(1))
        with redis_server.client() as admin:
            admin.expire(keys.connections(prefix, me), 100)
            await acquire(registry, me, 1)

            assert (await registry.backlog(me)).expires_s <= 100
            for key in (keys.sweep(prefix, me), keys.deaths(prefix, me)):
                assert 0 < admin.ttl(key) <= 100

    async def test_what_is_no_entry_does_not_keep_a_sweep(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix, me = f"odd{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        await registry.write(me, 1, {new_connection_id(me): entry()}, upon=range(1))
        with redis_server.client() as admin:
            admin.hset(keys.connections(prefix, me), mapping={b"\xff": "x", "junk": "x"})

        for connection, _, _ in await acquire(registry, me, 3):
            await registry.remove(me, [connection])

        assert await acquire(registry, me, 3) == []
        assert (await registry.backlog(me)).entries == 0


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
    assert me not in (await registry.look()).fenced
