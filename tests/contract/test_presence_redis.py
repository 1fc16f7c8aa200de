"""Presence on Redis: what comes late, what is lost, what it costs, and for how long it stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing

import pytest
import redis

from gateway.errors import BrokerRefused, BrokerUnavailable
from gateway.presence import redis_calls
from gateway.presence.base import PRESENCE_S, PresenceChange, PresenceStats
from gateway.presence.redis import RedisPresenceStore
from gateway.presence.redis_calls import LATE_S
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.deadlines import LEFT_S
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.url import parse
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_server import RedisServer

ANN = PresenceChange("room", "a", ClientInfo("ann", "a"))
BOB = PresenceChange("room", "b", ClientInfo("bob", "b"))
P = "late"


@pytest.fixture
def admin(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(redis_server.url)) as client:
        client.flushall()
        yield client


@pytest.fixture
async def store(redis_server: RedisServer, admin: redis.Redis) -> AsyncIterator[RedisPresenceStore]:
    made = RedisPresenceStore(parse(redis_server.url), prefix=P)
    yield made
    await made.aclose()


def gone(change: PresenceChange) -> PresenceChange:
    return change._replace(info=None)


def ours(admin: redis.Redis) -> set[str]:
    return {key.decode() for key in admin.scan_iter(f"{P}:*")}


async def doubt(store: RedisPresenceStore, worker: WorkerId, revision: int) -> None:
    """A write that fails: nobody can know whether it is done, or will be."""
    assert not await store.write(worker, revision, [], upon=range(10**9, 10**9 + 1))


async def test_a_write_that_was_broken_off_and_comes_late_changes_nothing(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    """As after a Redis that stood still. Red when nothing is remembered of who has no members."""
    me = new_worker_id()
    await doubt(store, me, 1)
    late = store._write_call(me, 2, "room", [("a", ANN.info)])
    assert await store.write(me, 3, [ANN], upon=None)
    assert await store.write(me, 4, [gone(ANN)], upon=None)

    assert await store._execute([late]) == [-1]

    assert await store.stats("room") == PresenceStats(0, 0)
    assert 0 < admin.ttl(keys.presence_workers(P, "room")) <= LATE_S


async def test_a_late_write_does_not_undo_one_that_came_after_it(store: RedisPresenceStore) -> None:
    me = new_worker_id()
    late = store._write_call(me, 2, "room", [("a", ANN.info)])
    assert await store.write(me, 3, [gone(ANN), BOB], upon=None)

    assert await store._execute([late]) == [-1]

    assert set(await store.members("room")) == {"b"}


async def test_nothing_stays_of_a_channel_that_all_have_left(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    me = new_worker_id()
    await store.write(me, 1, [ANN, BOB], upon=range(1))
    await store.write(me, 2, [gone(ANN), gone(BOB)], upon=range(1, 2))
    assert ours(admin) == {keys.subscribed(P, me)}

    await store.finish(me)
    assert ours(admin) == set()


async def test_what_is_remembered_of_the_swept_ends_within_the_hour(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    dead = new_worker_id()
    await store.write(dead, 1, [ANN], upon=range(1))

    async for page in store.pages_of(dead):
        await store.remove(dead, page)
    await store.finish(dead)

    assert ours(admin) == {keys.presence_workers(P, "room")}
    assert 0 < admin.ttl(keys.presence_workers(P, "room")) <= LEFT_S


async def test_the_swept_of_long_ago_are_forgotten_where_others_stay(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    dead, lives = new_worker_id(), new_worker_id()
    key = keys.presence_workers(P, "room")
    admin.hset(key, new_worker_id(), "0 9007199254740991 1000")
    await store.write(lives, 1, [BOB], upon=range(1))
    await store.write(dead, 1, [ANN], upon=range(1))

    async for page in store.pages_of(dead):
        await store.remove(dead, page)

    assert set(admin.hkeys(key)) == {dead.encode(), lives.encode()}
    assert admin.ttl(key) > LEFT_S


async def look(store: RedisPresenceStore, workers: dict[WorkerId, PresenceChange]) -> None:
    """A round: who finds less than it has written writes it again."""
    for worker, mine in workers.items():
        if await store.look(worker, 1, ["room"]) != [1]:
            await store.write(worker, 1, [mine], upon=None)


@pytest.mark.parametrize("other_type", [False, True], ids=["deleted", "of another type"])
@pytest.mark.parametrize("which", range(3), ids=["members", "workers", "users"])
async def test_a_key_that_somebody_deletes_is_whole_again_after_two_rounds_of_looks(
    store: RedisPresenceStore, admin: redis.Redis, which: int, *, other_type: bool
) -> None:
    """And nothing stays behind when all leave: of a number that is too high, a user would.

    Red when a look compares nothing, and when the numbers of users are not made anew.
    """
    ann_too = PresenceChange("room", "c", ClientInfo("ann", "c"))
    one, two, three = new_worker_id(), new_worker_id(), new_worker_id()
    workers = {one: ANN, two: BOB, three: ann_too}
    for worker, mine in workers.items():
        await store.write(worker, 1, [mine], upon=None)
    key = store._names("room", one)[which]
    admin.delete(key)
    if other_type:
        admin.set(key, "x")

    await look(store, workers)
    await look(store, workers)

    assert set(await store.members("room")) == {"a", "b", "c"}
    assert await store.stats("room") == PresenceStats(3, 2)
    users = admin.hgetall(keys.presence_users(P, "room"))
    assert users == {b"ann": b"2", b"bob": b"1"}
    for worker, mine in workers.items():
        await store.write(worker, 2, [gone(mine)], upon=None)
    assert ours(admin) == {keys.subscribed(P, worker) for worker in workers}


async def test_a_member_that_somebody_deletes_is_missed_by_a_look(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    me = new_worker_id()
    await store.write(me, 1, [ANN, BOB], upon=None)
    admin.hdel(keys.presence(P, "room", me), "a")

    assert await store.look(me, 1, ["room", "other"]) == [1, 0]
    assert await store.stats("room") == PresenceStats(1, 1)


async def test_a_look_changes_no_revision_and_comes_after_no_later_write(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    me = new_worker_id()
    await store.write(me, 3, [ANN], upon=None)

    assert await store.look(me, 2, ["room"]) == [None]
    assert await store.look(me, 7, ["room"]) == [1]

    assert admin.hget(keys.presence_workers(P, "room"), me) == b"1 3"


TOO_HIGH = ["1 10", "1 9007199254740991", "1 " + "9" * 20, "0 " + "9" * 400, "0 77 99999999999!"]


@pytest.mark.parametrize("field", TOO_HIGH)
async def test_a_revision_that_somebody_has_set_too_high_is_lowered_by_the_next_write(
    store: RedisPresenceStore, admin: redis.Redis, field: str
) -> None:
    """Red before: every write of this worker was refused in this channel for ever."""
    kinds: list[str] = []
    store.address.node.count = kinds.append
    me, other = new_worker_id(), new_worker_id()
    await store.write(me, 1, [ANN], upon=range(1))
    await store.write(other, 1, [ANN._replace(client="z")], upon=range(1))
    admin.hset(keys.presence_workers(P, "room"), me, field)
    assert await store.look(me, 1, ["room"]) == [None]
    late = store._write_call(me, 1, "room", [("late", ANN.info)])

    assert await store.write(me, 2, [BOB], upon=range(1, 2))
    assert await store._execute([late]) == [-1]
    assert await store.write(me, 3, [ANN], upon=range(2, 3))
    assert await store.look(other, 1, ["room"]) == [1]

    assert kinds == ["garbage"]
    assert set(await store.members("room")) == {"a", "b", "z"}
    assert await store.stats("room") == PresenceStats(3, 2)


async def test_a_sweep_that_comes_while_a_revision_is_lowered_is_not_undone(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    """Red when whatever is there is lowered."""
    dead = new_worker_id()
    await store.write(dead, 1, [ANN], upon=range(1))
    key = keys.presence_workers(P, "room")
    admin.hset(key, dead, "1 50")
    lower = redis_calls.LOWER.call([key], [dead, "1 50", 2, redis_calls.SWEPT, 3600])
    async for page in store.pages_of(dead):
        await store.remove(dead, page)

    assert await store._execute([lower]) == [0]
    with pytest.raises(BrokerRefused):
        await store.write(dead, 2, [ANN], upon=None)

    assert await store.members("room") == {}
    assert (await store.stats("room")).clients == 0


async def test_a_sweep_takes_away_what_has_a_revision_that_is_too_high(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    """Red before: the dead were shown for two hours, and counted for as long as others came."""
    dead = new_worker_id()
    await store.write(dead, 1, [ANN], upon=range(1))
    admin.hset(keys.presence_workers(P, "room"), dead, "1 " + "9" * 20)

    async for page in store.pages_of(dead):
        await store.remove(dead, page)

    assert await store.members("room") == {}
    assert await store.stats("room") == PresenceStats(0, 0)
    assert [page async for page in store.pages_of(dead)] == []


@pytest.mark.parametrize("until_s", ["9" * 11, "9" * 30, "9" * 400])
async def test_who_is_remembered_for_ever_is_forgotten(
    store: RedisPresenceStore, admin: redis.Redis, until_s: str
) -> None:
    """Red before: a key without end, or an error of EXPIRE that refused every such write."""
    me = new_worker_id()
    key = keys.presence_workers(P, "room")
    await store.write(me, 1, [ANN], upon=range(1))
    admin.hset(key, new_worker_id(), f"0 5 {until_s}")
    await doubt(store, me, 2)

    assert await store.write(me, 3, [gone(ANN)], upon=None)

    assert admin.hkeys(key) == [me.encode()]
    assert 0 < admin.ttl(key) <= LATE_S


@pytest.mark.parametrize("key", [keys.dead, keys.left])
async def test_who_is_fenced_or_has_left_writes_into_no_new_channel(
    store: RedisPresenceStore, admin: redis.Redis, key: Callable[[str], str]
) -> None:
    me = new_worker_id()
    admin.zadd(key(P), {me: 1})

    with pytest.raises(BrokerRefused):
        await store.write(me, 1, [ANN], upon=range(1))

    assert await store.members("room") == {}
    assert keys.subscribed(P, me) not in ours(admin)


async def test_a_redis_that_forgot_the_scripts_is_told_them_again(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    me = new_worker_id()
    await store.write(me, 1, [ANN], upon=range(1))
    admin.script_flush()

    assert await store.write(me, 2, [BOB], upon=range(1, 2))

    assert await store.stats("room") == PresenceStats(2, 2)


async def test_after_a_loss_all_is_listed_again(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    """Red when the store believes that the channels are still listed."""
    me = new_worker_id()
    await store.write(me, 1, [ANN], upon=range(1))
    admin.flushall()
    assert not await store.write(me, 2, [BOB], upon=range(1, 2))

    assert await store.write(me, 3, [ANN, BOB], upon=None)

    assert [page.channels async for page in store.pages_of(me)] == [["room"]]
    assert await store.stats("room") == PresenceStats(2, 2)


@pytest.mark.parametrize("which", range(3))
async def test_a_key_of_another_type_is_removed_by_who_meets_it(
    store: RedisPresenceStore, admin: redis.Redis, which: int
) -> None:
    me = new_worker_id()
    admin.set(store._names("room", me)[which], "x")

    assert await store.write(me, 1, [ANN], upon=None)
    assert await store.stats("room") == PresenceStats(1, 1)


async def test_a_list_of_channels_of_another_type_is_removed_by_who_meets_it(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    me = new_worker_id()
    admin.set(keys.subscribed(P, me), "x")

    with pytest.raises(BrokerUnavailable):
        await store.write(me, 1, [ANN], upon=None)

    assert await store.write(me, 2, [ANN], upon=None)
    assert await store.stats("room") == PresenceStats(1, 1)


async def test_garbage_in_a_value_is_passed_over(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    me = new_worker_id()
    await store.write(me, 1, [ANN, BOB], upon=None)
    for client, value in {"a": b"\xff", "b": b"99:x", "c": b"x" * 9000, "d": b"3:bob\xc1"}.items():
        admin.hset(keys.presence(P, "room", me), client, value)
    admin.hset(keys.presence_users(P, "room"), "ann", "many")
    admin.hset(keys.presence_workers(P, "room"), "somebody", "many")

    assert set(await store.members("room")) == {"a", "b", "c", "d"}
    assert (await store.stats("room")).clients == 2
    assert await store.write(me, 2, [ANN, gone(BOB)], upon=None)


async def test_keys_live_for_two_hours_and_are_extended(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    me = new_worker_id()
    await store.write(me, 1, [ANN], upon=None)
    every = [*store._names("room", me), keys.subscribed(P, me)]
    assert all(PRESENCE_S - 5 < admin.ttl(key) <= PRESENCE_S for key in every)
    for key in every:
        admin.expire(key, 60)

    assert await store.look(me, 1, ["room"]) == [1]
    assert await store.revision(me) == 1

    assert all(admin.ttl(key) > 60 for key in every)


async def test_a_thousand_members_cost_less_than_half_a_megabyte(
    store: RedisPresenceStore, admin: redis.Redis
) -> None:
    me = new_worker_id()
    before = admin.info("memory")["used_memory"]
    clients = [new_connection_id(me) for _ in range(1000)]

    for n, client in enumerate(clients):
        info = ClientInfo(f"user{n}", client, b'{"name":"Somebody"}', b"")
        await store.write(me, n + 1, [PresenceChange("room", client, info)], upon=None)

    assert admin.info("memory")["used_memory"] - before < 500_000
