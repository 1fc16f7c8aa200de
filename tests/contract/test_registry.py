"""The guarantees of ``gateway.registry.base``, on every implementation."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import redis

from gateway.errors import BrokerUnavailable
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.redis_support import keys
from gateway.redis_support.check import check
from gateway.redis_support.client import fence
from gateway.redis_support.url import parse
from gateway.registry.base import Entry, Registry
from gateway.registry.redis_entries import CHUNK
from tests.contract.conftest import INFO, SOON_S, Connect, claim, ended, entry
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

_prefixes = itertools.count()


async def entries(registry: Registry, worker: WorkerId) -> dict[ConnectionId, Entry]:
    return {connection: facts async for connection, facts in registry.entries(worker)}


def now_ms(admin: redis.Redis) -> int:
    seconds, microseconds = admin.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def test_a_renewed_worker_is_seen_with_what_it_says(registry: Registry) -> None:
    me = new_worker_id()

    leases = await registry.renew(me, INFO, 10.0)

    end_ms, info = leases.workers[me]
    assert info == INFO
    assert end_ms - leases.now_ms == pytest.approx(10_000, abs=1000)
    assert not leases.fenced


async def test_a_living_worker_cannot_be_claimed(registry: Registry) -> None:
    me = new_worker_id()
    await registry.renew(me, INFO, 10.0)

    assert not await claim(registry, me)
    assert me not in (await registry.look()).fenced


async def test_a_worker_that_fences_itself_leaves_its_entries_to_a_sweep(
    registry: Registry,
) -> None:
    me, connection = new_worker_id(), new_connection_id()
    await registry.renew(me, INFO, 10.0)
    await registry.write(me, 1, {connection: entry()}, upon=range(1))

    await registry.fence(me)

    assert me in (await registry.look()).fenced
    assert me in (await registry.renew(me, INFO, 10.0)).fenced
    assert await entries(registry, me) == {connection: entry()}
    assert await claim(registry, me)


async def test_fencing_a_worker_without_a_lease_does_nothing(registry: Registry) -> None:
    nobody = new_worker_id()

    await registry.fence(nobody)

    assert nobody not in (await registry.look()).fenced


async def test_one_of_many_claims_a_worker_whose_lease_has_ended(registry: Registry) -> None:
    dead = new_worker_id()
    await registry.renew(dead, INFO, SOON_S)
    await ended(registry, dead)

    seen_end_ms, _ = (await registry.look()).workers[dead]
    claims = await asyncio.gather(*(registry.claim(dead, seen_end_ms) for _ in range(10)))

    assert sorted(claims) == [False] * 9 + [True]
    assert dead in (await registry.look()).fenced


async def test_a_fenced_worker_cannot_renew_itself_back(registry: Registry) -> None:
    dead = new_worker_id()
    await registry.renew(dead, INFO, SOON_S)
    await ended(registry, dead)
    await claim(registry, dead)
    await registry.finish(dead)

    leases = await registry.renew(dead, INFO, 10.0)

    assert dead not in leases.workers
    assert dead in leases.fenced


async def test_finishing_a_sweep_leaves_nothing_but_the_fence(registry: Registry) -> None:
    dead = new_worker_id()
    await registry.renew(dead, INFO, SOON_S)
    await registry.write(dead, 1, {new_connection_id(dead): entry()}, upon=range(1))
    await ended(registry, dead)
    await claim(registry, dead)

    await registry.finish(dead)

    leases = await registry.look()
    assert dead not in leases.workers
    assert dead in leases.fenced
    assert await entries(registry, dead) == {}
    assert not await claim(registry, dead)


async def test_leaving_on_purpose_leaves_no_fence(registry: Registry) -> None:
    me = new_worker_id()
    await registry.renew(me, INFO, 10.0)
    await registry.write(me, 1, {new_connection_id(me): entry()}, upon=range(1))

    await registry.leave(me)

    leases = await registry.look()
    assert me not in leases.workers
    assert me not in leases.fenced
    assert await entries(registry, me) == {}


async def test_a_renewal_that_comes_after_the_end_puts_back_no_lease(registry: Registry) -> None:
    """It may have been under way. Red: others handed messages to a worker that is no more."""
    me, other = new_worker_id(), new_worker_id()
    await registry.renew(me, INFO, 10.0)
    await registry.leave(me)

    late = await registry.renew(me, INFO, 10.0)

    assert me not in late.workers
    assert me not in late.fenced
    assert me not in (await registry.renew(other, INFO, 10.0)).workers


async def test_entries_are_written_changed_and_removed(registry: Registry) -> None:
    me = new_worker_id()
    one, two, three = (new_connection_id(me) for _ in range(3))
    await registry.write(me, 1, {one: entry(1), two: entry(2)}, upon=range(1))

    await registry.write(me, 2, {one: None, two: entry(22), three: entry(3)}, upon=range(2))

    assert await entries(registry, me) == {two: entry(22), three: entry(3)}
    assert await registry.revision(me) == 2


async def test_entries_that_were_never_written_have_no_revision(registry: Registry) -> None:
    assert await registry.revision(new_worker_id()) is None


async def test_beginning_anew_replaces_everything(registry: Registry) -> None:
    me = new_worker_id()
    await registry.write(me, 7, {new_connection_id(me): entry()}, upon=range(7))
    wanted = {new_connection_id(me): entry(n) for n in range(2 * CHUNK + 1)}

    assert await registry.write(me, 5, wanted, upon=None)

    assert await entries(registry, me) == wanted
    assert await registry.revision(me) == 5


async def test_beginning_anew_with_nothing_still_sets_the_revision(registry: Registry) -> None:
    me = new_worker_id()

    await registry.write(me, 9, {}, upon=None)

    assert await registry.revision(me) == 9
    assert await entries(registry, me) == {}


@pytest.mark.parametrize("there", [None, 3, 8], ids=["nothing", "older", "newer"])
async def test_nothing_is_written_upon_what_it_does_not_believe_in(
    registry: Registry, there: int | None
) -> None:
    """Red when a write sets its revision over any other: then the next look finds nothing lost."""
    me = new_worker_id()
    one, two = new_connection_id(me), new_connection_id(me)
    if there is not None:
        await registry.write(me, there, {one: entry(1)}, upon=None)
    before = await entries(registry, me)

    written = await registry.write(me, 9, {one: None, two: entry(2)}, upon=range(4, 8))

    assert not written
    assert await registry.revision(me) == there
    assert await entries(registry, me) == before


@pytest.mark.parametrize("there", [4, 7])
async def test_a_write_may_come_upon_any_that_nobody_knows_of(
    registry: Registry, there: int
) -> None:
    me = new_worker_id()
    await registry.write(me, there, {}, upon=None)

    assert await registry.write(me, 8, {}, upon=range(4, 8))
    assert await registry.revision(me) == 8


class TestRedisRegistry:
    """What only concerns Redis."""

    async def test_every_key_has_a_life(self, connect: Connect, redis_server: RedisServer) -> None:
        prefix, me = f"life{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        await registry.renew(me, INFO, 10.0)
        await registry.write(me, 1, {new_connection_id(me): entry()}, upon=range(1))
        with redis_server.client() as admin:
            found = {key.decode() for key in admin.keys(f"{prefix}:*")}
            assert found == {
                keys.workers(prefix),
                keys.info(prefix),
                keys.born(prefix),
                keys.server(prefix),
                keys.dead(prefix),
                keys.left(prefix),
                keys.connections(prefix, me),
                keys.users(prefix, me),
            }
            assert 3500 < admin.ttl(keys.connections(prefix, me)) <= 3600
            assert 3500 < admin.ttl(keys.users(prefix, me)) <= 3600

            await registry.leave(me)

            stays = {key(prefix) for key in (keys.born, keys.server, keys.dead, keys.left)}
            assert {key.decode() for key in admin.keys(f"{prefix}:*")} == stays
            hour_ago_ms = now_ms(admin) - 3_600_000
            many = {new_worker_id(): hour_ago_ms for _ in range(1000)}
            admin.zadd(keys.left(prefix), {me: hour_ago_ms, **many})
            await registry.renew(new_worker_id(), INFO, 10.0)
            assert admin.zrange(keys.left(prefix), 0, -1) == [b""]

    async def test_leases_tell_when_redis_has_lost_what_it_knew(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix, me = f"lost{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        before = await registry.renew(me, INFO, 10.0)
        again = await registry.renew(me, INFO, 10.0)
        with redis_server.client() as admin:
            admin.delete(*admin.keys(f"{prefix}:*"))
            await eventually(lambda: now_ms(admin) > before.known_since_ms, "another millisecond")

        after = await registry.renew(me, INFO, 10.0)

        assert again.known_since_ms == before.known_since_ms
        assert after.known_since_ms > before.known_since_ms

    async def test_a_replica_that_takes_over_knows_since_then(
        self, connect: Connect, redis_server: RedisServer, own_redis: RedisServer
    ) -> None:
        """It may lack the last leases: their workers would be gone to whoever looks.

        Red when it goes by the birth that it copied.
        """
        prefix, early, late = f"over{next(_prefixes)}", new_worker_id(), new_worker_id()
        primary, replica = connect(redis_server, prefix), connect(own_redis, prefix)
        before = await primary.renew(early, INFO, 10.0)
        with redis_server.client() as admin:
            admin.config_set("repl-diskless-sync-delay", 0)
        with own_redis.client() as admin:
            admin.replicaof("127.0.0.1", str(redis_server.port))
            await eventually(lambda: admin.exists(keys.born(prefix)), "the copy")
            admin.replicaof("NO", "ONE")
            await eventually(lambda: now_ms(admin) > before.now_ms, "another millisecond")
        await primary.renew(late, INFO, 10.0)

        looked = await replica.look()
        renewed = await replica.renew(early, INFO, 10.0)
        again = await replica.renew(early, INFO, 10.0)

        assert late not in looked.workers
        views = (before, looked, renewed, again)
        began, seen, written, stays_at = (view.known_since_ms for view in views)
        assert began < seen <= written == stays_at

    async def test_a_supervisor_fences_its_child_and_anyone_may_sweep_it(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix, dead = f"fence{next(_prefixes)}", new_worker_id()
        address = parse(redis_server.url)
        registry = connect(redis_server, prefix)
        await registry.renew(dead, INFO, 10.0)

        assert fence(address, prefix, dead, deadline_s=10.0)
        assert not fence(address, prefix, dead, deadline_s=10.0)

        leases = await registry.look()
        assert dead in leases.fenced
        assert leases.workers[dead][0] == 0
        assert await claim(registry, dead)

    async def test_a_worker_that_left_is_not_fenced(self, redis_server: RedisServer) -> None:
        address = parse(redis_server.url)
        assert not fence(address, f"fence{next(_prefixes)}", new_worker_id(), deadline_s=10.0)

    async def test_a_claim_ends_so_that_a_dead_sweeper_is_replaced(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix, dead = f"claim{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        await registry.renew(dead, INFO, SOON_S)
        await ended(registry, dead)
        assert await claim(registry, dead)
        with redis_server.client() as admin:
            admin.zadd(keys.workers(prefix), {dead: 1.0})  # the claim has run out

        assert await claim(registry, dead)

    async def test_a_worker_frozen_for_long_after_its_sweep_sees_its_fence(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix, frozen, other = f"old{next(_prefixes)}", new_worker_id(), new_worker_id()
        registry = connect(redis_server, prefix)
        with redis_server.client() as admin:
            swept_ms = int(admin.time()[0]) * 1000 - 3_600_000
            admin.zadd(keys.dead(prefix), {frozen: swept_ms})

        assert frozen in (await registry.renew(frozen, INFO, 10.0)).fenced
        assert frozen not in (await registry.renew(other, INFO, 10.0)).fenced

    async def test_an_old_fence_is_shown_while_its_worker_is_unswept(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix, dead = f"old{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        with redis_server.client() as admin:
            now_s, _ = admin.time()
            admin.zadd(keys.workers(prefix), {dead: 1.0})
            admin.zadd(keys.dead(prefix), {dead: (now_s - 3600) * 1000})

        assert dead in (await registry.look()).fenced

    async def test_what_is_not_a_worker_or_a_connection_is_skipped(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix, me = f"junk{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        with redis_server.client() as admin:
            admin.zadd(keys.workers(prefix), {"not a worker": 9e15, me: 9e15})
            admin.hset(keys.connections(prefix, me), mapping={"junk": "x", "revision": 3})
            admin.hset(keys.connections(prefix, me), new_connection_id(me), b"\xc1 no msgpack")

        leases = await registry.look()

        assert list(leases.workers) == [me]
        assert not leases.workers[me][1].handler
        assert await entries(registry, me) == {}

    @pytest.mark.parametrize("garbage", ["a string", "a word", "a huge number"])
    async def test_garbage_in_the_place_of_entries_is_found_and_replaced(
        self, connect: Connect, redis_server: RedisServer, garbage: str
    ) -> None:
        prefix, me = f"garbage{next(_prefixes)}", new_worker_id()
        registry = connect(redis_server, prefix)
        with redis_server.client() as admin:
            if garbage == "a string":
                admin.set(keys.connections(prefix, me), "x")
            else:
                value = "x" if garbage == "a word" else "9" * 400
                admin.hset(keys.connections(prefix, me), keys.REVISION, value)

        assert garbage == "a string" or await registry.revision(me) == -1
        assert not await registry.write(me, 1, {}, upon=range(1))
        assert await registry.write(me, 2, {}, upon=None)
        assert await registry.revision(me) == 2

    async def test_no_server_is_one_kind_of_error_everywhere(
        self, connect: Connect, own_redis: RedisServer
    ) -> None:
        own_redis.kill()
        address = parse(own_redis.url)
        registry = connect(own_redis, "x")
        me = new_worker_id()
        with pytest.raises(BrokerUnavailable):
            await registry.renew(me, INFO, 10.0)
        with pytest.raises(BrokerUnavailable):
            await registry.write(me, 1, {}, upon=range(1))
        with pytest.raises(BrokerUnavailable):
            check(address, "x")
        with pytest.raises(BrokerUnavailable):
            fence(address, "x", me, deadline_s=10.0)
