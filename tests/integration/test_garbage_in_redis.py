"""What somebody else writes to our keys, or says in the place of Redis, ends no worker."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis

from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from tests.integration.counting import Counted
from tests.support.ids import new_worker_id
from tests.support.inprocess import InProcess, cluster, in_process, redis_settings
from tests.support.proxy import Proxy
from tests.support.rawclient import RawClient, handshake, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, eventually_async

PREFIX = "garbage"
Poison = Callable[[redis.Redis, str], object]

TYPES: dict[str, Poison] = {
    "string": lambda r, key: r.set(key, os.urandom(9)),
    "list": lambda r, key: r.rpush(key, "x"),
    "set": lambda r, key: r.sadd(key, "x"),
    "zset": lambda r, key: r.zadd(key, {"x": 1}),
    "hash": lambda r, key: r.hset(key, "x", "y"),
    "stream": lambda r, key: r.xadd(key, {"x": "y"}),
}


def our_keys(worker: WorkerId) -> dict[str, str]:
    """Every key there is, and its type."""
    return {
        keys.workers(PREFIX): "zset",
        keys.info(PREFIX): "hash",
        keys.dead(PREFIX): "zset",
        keys.left(PREFIX): "zset",
        keys.born(PREFIX): "string",
        keys.server(PREFIX): "string",
        keys.connections(PREFIX, worker): "hash",
        keys.users(PREFIX, worker): "hash",
    }


def contents(worker: WorkerId) -> list[tuple[str, Poison]]:
    """Values of the right type that mean nothing, for one key each."""
    dead, deep = new_worker_id(), b"[" * 100_000
    workers, info = keys.workers(PREFIX), keys.info(PREFIX)
    conns, users = keys.connections(PREFIX, worker), keys.users(PREFIX, worker)
    found: list[tuple[str, Poison]] = []
    found += [
        (workers, lambda r, key, score=score, of=of: r.zadd(key, {of: score}))  # type: ignore[misc]
        for score in ("inf", "-inf", "1e300", "-1e300")
        for of in (worker, dead, "garbage", b"\xff")
        # A lease that ended long ago is one: whoever can write it can fence its worker.
        if of != worker or not score.startswith("-")
    ]
    found += [
        (key, lambda r, key, value=value: r.set(key, value))  # type: ignore[misc]
        for key in (keys.born(PREFIX), keys.server(PREFIX))
        for value in ("garbage", "", "-1", "inf", "1e9", b"\xff", "9" * 30)
    ]
    found += [
        (info, lambda r, key, value=value: r.hset(key, worker, value))  # type: ignore[misc]
        for value in ("garbage", "", "{}", '{"edge": 1}', "[]", b"\xff", deep, "null")
    ]
    found += [
        (keys.dead(PREFIX), lambda r, key, of=of: r.zadd(key, {of: "inf"}))  # type: ignore[misc]
        for of in ("garbage", b"\xff")
    ]
    found += [
        (conns, lambda r, key, field=field, value=value: r.hset(key, field, value))  # type: ignore[misc]
        for field in ("revision", "garbage", f"{worker}.{'x' * 22}")
        for value in ("garbage", "", b"\xff", "inf", b"\x91" * 100_000)
    ]
    found += [
        (users, lambda r, key, value=value: r.hset(key, "ann", value))  # type: ignore[misc]
        for value in ("garbage", "", b"\xff", " ", f"{'x' * 22} {'y' * 22}")
    ]
    return found


async def served_as_ever(client: RawClient, text: str) -> None:
    client.say(text)
    assert await client.texts(1) == [f"Received:{text}"]


async def test_whatever_is_in_our_keys_workers_go_on(own_redis: RedisServer) -> None:
    """Every key with every other type, and with values that mean nothing: 80 of them in turn.

    Red before: ``born garbage`` ended every worker, a score of ``inf`` each that looked.
    """
    own = redis_settings(own_redis.url, PREFIX, lease_seconds=2)
    async with (
        cluster(own, 2) as made,
        raw_websocket(made[0].port) as first,
        raw_websocket(made[1].port) as second,
    ):
        counted = Counted(*made)
        for client in (first, second):
            await served_as_ever(client, "before")
        with own_redis.client() as admin:
            worker = made[0].worker.me
            for key, kind in our_keys(worker).items():
                for other, spoil in TYPES.items():
                    if other != kind:
                        admin.delete(key)
                        spoil(admin, key)
                        await asyncio.sleep(0.02)  # between a renewal and the next of both
                await eventually_async(lambda: mended(admin, key, kind), f"{key} again", 5)  # noqa: B023
                await served_as_ever(first, key)
            for key, spoil in contents(worker):
                spoil(admin, key)
                await asyncio.sleep(0.05)
                await served_as_ever(second, key)
                await listings_come(made)
            await eventually(lambda: all(s.worker.ready for s in made), "readiness", 10)
            for client in (first, second):
                await served_as_ever(client, "after")

            assert counted("gateway_redis_errors_total", kind="garbage") >= 10
            assert not any(s.should_exit for s in made)
            assert [admin.zscore(keys.dead(PREFIX), s.worker.me) for s in made] == [None, None]
            assert (await handshake(made[0].port)).status == 101
            await eventually_async(lambda: registered(own_redis, made), "the registry of both", 10)
            # Of the leases without end, nothing is left.
            ends = dict(admin.zrange(keys.workers(PREFIX), 0, -1, withscores=True))
            assert max(ends.values()) < 1e14


async def mended(admin: redis.Redis, key: str, kind: str) -> bool:
    return admin.type(key) in (kind.encode(), b"none")


async def listings_come(made: list[InProcess]) -> None:
    for served in made:
        registry: Any = served.worker.parts.registry
        await registry.of_user("ann")
        await registry.page("", limit=10)


async def registered(server: RedisServer, made: list[InProcess]) -> bool:
    listed = set()
    registry: Any = made[0].worker.parts.registry
    for served in made:
        listed |= {c async for c, _ in registry.entries(served.worker.me)}
    return {m.id for served in made for m in served.worker.parts.hub} <= listed


GARBAGE = {
    "an array without end": b"*2147483647\r\n",
    "a text without end": b"$2147483647\r\nab",
    "bytes that are not its protocol": b"\x00\xff\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
    "errors": b"-ERR what do you want\r\n" * 9,
    "more replies than questions": b"+OK\r\n" * 1000,
    "other types": b"*3\r\n*1\r\n:1\r\n*1\r\n:2\r\n:3\r\n" * 9,
    "numbers": b":1\r\n" * 9,
    "nothing": b"$-1\r\n" * 9,
    "a message that is none": b"*3\r\n$7\r\nmessage\r\n*0\r\n:1\r\n" * 9,
    "a subscription that is none": b"*3\r\n$9\r\nsubscribe\r\n*0\r\n:1\r\n" * 9,
    "maps": b"%2\r\n+mode\r\n+sentinel\r\n+x\r\n*0\r\n" * 9,
}


@asynccontextmanager
async def garbage_server(says: bytes) -> AsyncIterator[int]:
    """Answers whatever comes with the same."""
    writers = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while await reader.read(1 << 16):
                writer.write(says)
        except OSError:
            pass

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize("what", GARBAGE)
async def test_whatever_answers_in_the_place_of_redis_workers_go_on(
    redis_server: RedisServer, what: str
) -> None:
    """Red before: ``*2147483647`` held up the worker for 8 s at a time, a list raised TypeError."""
    async with Proxy(redis_server.port) as proxy, garbage_server(GARBAGE[what]) as port:
        own = redis_settings(proxy.url, f"answers{random.randrange(10**9)}", lease_seconds=2)
        async with in_process(own) as served, raw_websocket(served.port) as client:
            await served_as_ever(client, "before")
            for writer in list(proxy._writers):
                writer.write(GARBAGE[what])
            await served_as_ever(client, "meanwhile")
            accepted = proxy.accepted
            proxy.target_port = port
            proxy.reset()
            await eventually(lambda: proxy.accepted > accepted + 4, "more connections", 10)
            started_at = asyncio.get_running_loop().time()
            await asyncio.sleep(0)
            assert asyncio.get_running_loop().time() - started_at < 4  # of 8
            proxy.target_port = redis_server.port
            proxy.reset()
            await eventually(lambda: served.worker.ready, "readiness", 10)
            await served_as_ever(client, "after")

            assert not served.should_exit
