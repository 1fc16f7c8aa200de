"""What the registry says of connections that are open, that end, and whose entries are lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway import Gateway, Message
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support import keys
from gateway.redis_support.url import parse
from gateway.registry.base import Entry
from gateway.registry.redis import RedisRegistry
from gateway.worker.worker_ids import new_worker_id
from tests.integration.applications import Gated
from tests.integration.conftest import MakeSettings
from tests.integration.listing import all_keys, entries, fenced_workers, listed_workers
from tests.support.inprocess import cluster, in_process, redis_settings
from tests.support.rawclient import close_frame, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


async def test_a_connection_is_listed_before_its_first_message_is_handled(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    gateway, listed = Gateway(), list[bool]()

    @gateway.on_message
    async def look(message: Message) -> str:
        known = entries(redis_server, settings(), served.worker.me)
        listed.append(message.connection.id in known)
        return ""

    async with in_process(settings(), gateway) as served:
        for _ in range(10):
            async with raw_websocket(served.port) as client:
                client.say("first words")
                await client.texts(1)

    assert listed == [True] * 10


async def test_an_entry_says_who_where_and_since_when(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with (
        in_process(settings()) as served,
        raw_websocket(
            served.port, User_Agent="test/1", Sec_WebSocket_Protocol="gateway.trace.v1"
        ) as client,
    ):
        client.say("hello")
        await client.texts(2)
        [(name, entry)] = entries(redis_server, settings(), served.worker.me).items()
        [member] = served.worker.parts.hub

    assert name == member.id
    assert (entry.user, entry.address, entry.user_agent) == (None, "127.0.0.1", "test/1")
    assert entry.protocol == "trace"
    assert entry.since_unix_ms > 1_500_000_000_000


async def test_an_entry_goes_with_its_connection(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as stays:
        async with raw_websocket(served.port) as leaves:
            for client in (stays, leaves):
                client.say("hello")
                await client.texts(1)
            assert len(entries(redis_server, settings(), served.worker.me)) == 2
            leaves.send(close_frame(1000))
            await leaves.rest()

        await eventually(
            lambda: len(entries(redis_server, settings(), served.worker.me)) == 1, "the removal"
        )


async def test_entries_that_a_failover_lost_are_written_again(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings(lease_seconds=1)
    async with (
        in_process(own) as served,
        raw_websocket(served.port) as one,
        raw_websocket(served.port) as two,
    ):
        for client in (one, two):
            client.say("hello")
            await client.texts(1)
        before = entries(redis_server, own, served.worker.me)
        key = keys.connections(own.redis_prefix, served.worker.me)
        with redis_server.client() as redis:
            redis.hdel(key, next(iter(before)))
            redis.hset(key, keys.REVISION, 0)

        await eventually(
            lambda: entries(redis_server, own, served.worker.me) == before, "the entries"
        )
    assert len(before) == 2


async def test_a_redis_that_forgot_everything_knows_it_again_after_one_renewal(
    own_redis: RedisServer,
) -> None:
    own = redis_settings(own_redis.url, "forgetful", lease_seconds=3)
    async with (
        cluster(own, 2) as workers,
        raw_websocket(workers[0].port) as one,
        raw_websocket(workers[1].port) as two,
    ):
        for client in (one, two):
            client.say("hello")
            await client.texts(1)
        before = [entries(own_redis, own, served.worker.me) for served in workers]
        with own_redis.client() as redis:
            redis.flushall()

        await eventually(
            lambda: [entries(own_redis, own, s.worker.me) for s in workers] == before, "entries"
        )
        assert listed_workers(own_redis, own) == {served.worker.me for served in workers}
        assert not fenced_workers(own_redis, own)
        for client in (one, two):
            client.say("still there?")
            assert await client.texts(1) == ["Received:still there?"]


@pytest.mark.parametrize("quiet", [False, True], ids=["while one leaves", "in a quiet hour"])
async def test_what_redis_forgot_is_not_hidden_by_the_next_write(
    own_redis: RedisServer, quiet: bool
) -> None:
    """Red when a write sets the revision over any other: then 2 are served and none is listed."""
    own = redis_settings(own_redis.url, "hidden", lease_seconds=3)
    async with in_process(own) as served, AsyncExitStack() as stack:
        one, _, _ = [await stack.enter_async_context(raw_websocket(served.port)) for _ in range(3)]
        me = served.worker.me

        def registered() -> dict[str, Entry]:
            return entries(own_redis, own, me)

        await eventually(lambda: len(registered()) == 3, "the entries")
        before = registered()
        with own_redis.client() as redis:
            redis.flushall()
        if not quiet:
            one.send(close_frame(1000))
            await one.rest()
        await eventually(lambda: len(served.worker.parts.hub) == (3 if quiet else 2), "the end")
        wanted = {member.id: before[member.id] for member in served.worker.parts.hub}

        await eventually(lambda: entries(own_redis, own, me) == wanted, "the entries")


async def test_entries_are_written_once_and_not_again(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Red when a renewal takes a write that is under way for a loss."""
    own = redis_settings(own_redis.url, "once", lease_seconds=2)
    async with in_process(own) as served:
        registration = served.worker.parts.cluster.registration
        end = asyncio.get_running_loop().time() + 2  # with a renewal each 0.7 s
        while asyncio.get_running_loop().time() < end or registration._tried_revision <= 20:
            async with raw_websocket(served.port) as client:
                client.say("hello")
                await client.texts(1)

    assert not [record for record in caplog.records if "lost" in record.getMessage()]


async def test_a_worker_that_has_left_leaves_nothing_behind(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings()
    async with in_process(own) as served:
        leaver = served.worker.me
        async with raw_websocket(served.port) as client:
            client.say("hello")
            await client.texts(1)
            served.should_exit = True
            await client.rest()

    assert not {key for key in all_keys(redis_server, own) if leaver in key}
    assert not listed_workers(redis_server, own)


async def test_a_worker_leaves_nothing_behind_of_a_client_that_would_not_go(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    """Red when a connection that ends after the lease writes to the registry once more."""
    own = settings(drain_seconds=0)
    async with in_process(own, Gated().gateway) as served:
        leaver = served.worker.me
        async with raw_websocket(served.port) as client:
            client.say("hello")
            await eventually(lambda: entries(redis_server, own, leaver), "the entry")
            served.should_exit = True
            await eventually(lambda: not listed_workers(redis_server, own), "the end of the lease")
            await client.rest()

    assert not {key for key in all_keys(redis_server, own) if leaver in key}


async def test_whoever_waits_for_the_registry_can_be_cancelled_at_any_moment(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    """Red when redis-py gets to see it: on Python 3.11 a worker that was to stop went on."""
    registry = RedisRegistry(parse(redis_server.url), prefix=settings().redis_prefix)
    worker, info = new_worker_id(), WorkerInfo(edge=True, handler=True)
    await registry.renew(worker, info, 10)
    deaf = []
    for turns in range(30):
        asking = asyncio.create_task(registry.renew(worker, info, 10))
        for _ in range(turns):
            await asyncio.sleep(0)
        if asking.cancel():
            await asyncio.wait({asking})
            if not asking.cancelled():
                deaf.append(turns)
    await registry.aclose()

    assert not deaf
