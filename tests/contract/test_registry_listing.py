"""Finding connections by user and by page, on every implementation of the registry."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from gateway.errors import BrokerUnavailable
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.redis_support import keys
from gateway.registry.base import Entry, Registry
from gateway.registry.redis_entries import CHUNK
from tests.contract.conftest import INFO, SOON_S, Connect, claim, ended
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_server import RedisServer

_prefixes = itertools.count()
ODD_USERS = [
    "",
    " two words ",
    "line\nbreak\0and\ttab",
    "Zoë 名前 🙂",
    "x" * 256,
    "revision",
    "{workers}",
    "*",
]
Item = tuple[ConnectionId, Entry]


def of(user: str | None, n: int = 0) -> Entry:
    return Entry(user, "192.0.2.1", "agent", "text", 1_700_000_000_000 + n)


async def worker_with(registry: Registry, *users: str | None) -> tuple[WorkerId, list[Item]]:
    """A living worker with a connection for each of these users."""
    me = new_worker_id()
    await registry.renew(me, INFO, 10.0)
    items = [(new_connection_id(me), of(user, n)) for n, user in enumerate(users)]
    for start in range(0, len(items), CHUNK):
        await registry.write(
            me, start + 1, dict(items[start : start + CHUNK]), upon=range(start + 1)
        )
    return me, items


async def crowd(registry: Registry, *sizes: int) -> list[Item]:
    """Living workers with so many connections each."""
    return [item for size in sizes for item in (await worker_with(registry, *["ann"] * size))[1]]


async def pages(
    registry: Registry, limit: int, worker: WorkerId | None = None
) -> AsyncIterator[list[Item]]:
    cursor = None
    while cursor != "":
        page, cursor = await registry.page(cursor or "", limit=limit, worker=worker)
        yield page


async def walk(registry: Registry, limit: int, worker: WorkerId | None = None) -> list[Item]:
    return [item async for page in pages(registry, limit, worker) for item in page]


async def fence(registry: Registry, worker: WorkerId) -> None:
    await registry.renew(worker, INFO, SOON_S)
    await ended(registry, worker)
    assert await claim(registry, worker)


# By user


async def test_a_user_has_its_connections_and_nobody_elses(registry: Registry) -> None:
    _, [one, _, two, _] = await worker_with(registry, "ann", "bob", "ann", None)

    assert await registry.of_user("ann") == [one, two]


async def test_nobody_has_no_connections(registry: Registry) -> None:
    await worker_with(registry, "ann", None)

    assert await registry.of_user("an") == []


@pytest.mark.parametrize("user", ODD_USERS, ids=ascii)
async def test_a_user_may_have_any_name(registry: Registry, user: str) -> None:
    _, items = await worker_with(registry, *ODD_USERS)

    assert await registry.of_user(user) == [items[ODD_USERS.index(user)]]


async def test_a_name_that_is_no_unicode_is_nobodys(registry: Registry) -> None:
    await worker_with(registry, "ann")

    assert await registry.of_user("ann\udcff") == []


async def test_a_user_is_found_at_every_worker(registry: Registry) -> None:
    here = await worker_with(registry, "ann", "bob")
    there = await worker_with(registry, "bob", "ann")

    wanted = {here[0]: here[1][0], there[0]: there[1][1]}
    assert await registry.of_user("ann") == [wanted[worker] for worker in sorted(wanted)]


async def test_a_user_may_have_more_connections_than_one_question_asks_for(
    registry: Registry,
) -> None:
    _, items = await worker_with(registry, *["ann"] * (2 * CHUNK + 1))

    assert await registry.of_user("ann") == items


async def test_a_connection_that_ended_is_no_longer_its_users(registry: Registry) -> None:
    me, [one, two] = await worker_with(registry, "ann", "ann")

    await registry.write(me, 2, {one[0]: None}, upon=range(2))

    assert await registry.of_user("ann") == [two]


async def test_a_connection_may_change_hands(registry: Registry) -> None:
    me, [(connection, _)] = await worker_with(registry, "ann")

    await registry.write(me, 2, {connection: of("bob")}, upon=range(2))

    assert await registry.of_user("ann") == []
    assert await registry.of_user("bob") == [(connection, of("bob"))]


async def test_beginning_anew_replaces_the_users_too(registry: Registry) -> None:
    me, [_, stays] = await worker_with(registry, "ann", "bob")
    comes = new_connection_id(me), of("cid")

    await registry.write(me, 5, dict([stays, comes]), upon=None)

    found = [await registry.of_user(user) for user in ("ann", "bob", "cid")]
    assert found == [[], [stays], [comes]]


async def test_a_dead_workers_connections_are_nobodys(registry: Registry) -> None:
    _, [lives] = await worker_with(registry, "ann")
    dead, _ = await worker_with(registry, "ann")

    await fence(registry, dead)

    assert await registry.of_user("ann") == [lives]


@pytest.mark.parametrize("end", ["finish", "leave"])
async def test_the_users_of_a_worker_end_with_it(registry: Registry, end: str) -> None:
    me, _ = await worker_with(registry, "ann")

    await getattr(registry, end)(me)
    await registry.renew(me, INFO, 10.0)

    assert await registry.of_user("ann") == []


# By page


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_pages_list_every_connection(registry: Registry, limit: int) -> None:
    items = await crowd(registry, 3, 0, 11)

    assert sorted(await walk(registry, limit)) == sorted(items)


async def test_thousands_of_connections_are_paged_completely(registry: Registry) -> None:
    items = await crowd(registry, 1500, 2500)

    found = [page async for page in pages(registry, 100)]

    assert {connection for page in found for connection, _ in page} == {c for c, _ in items}
    assert len(found) > 20
    assert all(100 <= len(page) < 200 for page in found[:-1])


async def test_no_connections_are_one_empty_page(registry: Registry) -> None:
    assert await registry.page("", limit=10) == ([], "")


async def test_workers_are_listed_in_the_order_of_their_ids(registry: Registry) -> None:
    await crowd(registry, 20, 20, 20)

    owners = [connection.partition(".")[0] for connection, _ in await walk(registry, 7)]

    assert owners == sorted(owners)


async def test_a_cursor_needs_no_escaping_in_a_url(registry: Registry) -> None:
    await crowd(registry, 1000)

    _, cursor = await registry.page("", limit=10)

    assert re.fullmatch(r"[A-Za-z0-9._-]+", cursor)


async def test_pages_of_one_worker_list_its_connections_only(registry: Registry) -> None:
    await crowd(registry, 600)
    me, items = await worker_with(registry, *["ann"] * 600)
    await crowd(registry, 600)

    assert dict(await walk(registry, 50, me)) == dict(items)


async def test_pages_leave_out_the_dead(registry: Registry) -> None:
    [lives] = await crowd(registry, 1)
    dead, _ = await worker_with(registry, "ann")

    await fence(registry, dead)

    assert await walk(registry, 10) == [lives]
    assert await registry.page("", limit=10, worker=dead) == ([], "")


async def test_a_worker_that_dies_between_two_pages_does_not_end_the_walk(
    registry: Registry,
) -> None:
    crowds = [await worker_with(registry, *["ann"] * 600) for _ in range(3)]
    first, second, third = sorted(crowds)
    walking = pages(registry, 50)
    seen = dict(await anext(walking))
    while not any(connection.startswith(second[0]) for connection in seen):
        seen |= await anext(walking)

    await registry.leave(second[0])
    async for page in walking:
        seen |= page

    assert seen.keys() >= {connection for connection, _ in first[1] + third[1]}


async def test_what_stays_is_listed_whatever_comes_and_goes_between_pages(
    registry: Registry,
) -> None:
    me, items = await worker_with(registry, *["ann"] * 2000)
    passing = [connection for connection, _ in items[::2]]
    stays = {connection for connection, _ in items[1::2]}
    seen = Counter[ConnectionId]()

    async for page in pages(registry, 50):
        assert len({connection for connection, _ in page}) == len(page)
        seen.update(connection for connection, _ in page)
        goes = dict.fromkeys(passing[:40])
        passing = passing[40:]
        comes = {new_connection_id(me): of("bob") for _ in range(200)} if len(seen) < 1500 else {}
        await registry.write(me, 2, {**goes, **comes}, upon=range(2))

    assert seen.keys() >= stays


@pytest.mark.parametrize(
    "cursor",
    ["nonsense", ".", "a" * 16, f"{'a' * 16}.x", f"{'a' * 16}.{'9' * 20}", "a" * 5000, " ", "é"],
    ids=lambda text: ascii(text)[:20],
)
async def test_a_cursor_that_is_none_is_refused(registry: Registry, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await registry.page(cursor, limit=10)


async def test_a_cursor_of_another_worker_is_refused(registry: Registry) -> None:
    me, _ = await worker_with(registry, *["ann"] * 1000)
    _, cursor = await registry.page("", limit=10, worker=me)

    with pytest.raises(ValueError, match="cursor"):
        await registry.page(cursor, limit=10, worker=new_worker_id())


async def test_a_page_of_none_is_refused(registry: Registry) -> None:
    with pytest.raises(ValueError, match="0"):
        await registry.page("", limit=0)


class TestRedisRegistry:
    """What only concerns Redis."""

    async def test_the_users_live_on_with_the_entries(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix = f"users{next(_prefixes)}"
        registry = connect(redis_server, prefix)
        me, _ = await worker_with(registry, "ann")
        key = keys.users(prefix, me)
        with redis_server.client() as admin:
            admin.expire(key, 10)

            await registry.revision(me)

            assert 3500 < admin.ttl(key) <= 3600

    async def test_a_user_that_has_gone_leaves_nothing_behind(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix = f"users{next(_prefixes)}"
        registry = connect(redis_server, prefix)
        me, [one, _, _] = await worker_with(registry, "ann", "bob", None)

        await registry.write(me, 2, {one[0]: None}, upon=range(2))

        with redis_server.client() as admin:
            assert admin.hkeys(keys.users(prefix, me)) == [b"bob"]

    async def test_what_a_sweep_removed_is_not_found_by_user(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        """The sweeper does not know the users: their list still has what it removes."""
        prefix = f"users{next(_prefixes)}"
        registry, sweeper = (connect(redis_server, prefix) for _ in range(2))
        me, [one, two] = await worker_with(registry, "ann", "ann")

        await sweeper.remove(me, [one[0]])

        assert await sweeper.of_user("ann") == [two]
        await sweeper.aclose()

    async def test_a_write_that_failed_has_its_users_when_it_is_repeated(
        self, connect: Connect, own_redis: RedisServer
    ) -> None:
        registry = connect(own_redis, "users")
        me, _ = await worker_with(registry)
        comes = new_connection_id(me), of("ann")
        with own_redis.client() as admin:
            admin.config_set("maxmemory", 1)
            with pytest.raises(BrokerUnavailable):
                await registry.write(me, 1, dict([comes]), upon=range(1))
            admin.config_set("maxmemory", 0)

        await registry.write(me, 1, dict([comes]), upon=range(1))

        assert await registry.of_user("ann") == [comes]

    async def test_a_user_that_went_while_redis_was_away_is_written_later(
        self, connect: Connect, own_redis: RedisServer
    ) -> None:
        """Its connection was never written, or nobody knows: the last change does not name it."""
        registry = connect(own_redis, "users")
        me, _ = await worker_with(registry, "bob")
        comes = new_connection_id(me)
        with own_redis.client() as admin:
            admin.hset(keys.users("users", me), "ann", comes.partition(".")[2])
            admin.config_set("maxmemory", 1)
            with pytest.raises(BrokerUnavailable):
                await registry.write(me, 2, {comes: of("ann")}, upon=range(2))
            admin.config_set("maxmemory", 0)

            await registry.write(me, 2, {comes: None}, upon=range(2))

            assert admin.hkeys(keys.users("users", me)) == [b"bob"]

    async def test_a_list_of_connections_that_are_not_its_users_is_empty(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        prefix = f"users{next(_prefixes)}"
        registry = connect(redis_server, prefix)
        me, [(bobs, _)] = await worker_with(registry, "bob")
        with redis_server.client() as admin:
            tails = b" ".join((b"\xff junk", b"\x00", b"x" * 22, bobs[17:].encode()))
            admin.hset(keys.users(prefix, me), "ann", tails)
            admin.hset(keys.connections(prefix, me), f"{me}.{'x' * 22}", b"\xc1 junk")

        assert await registry.of_user("ann") == []
