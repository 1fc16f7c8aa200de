"""The sweep of a dead worker: its work is shared, each entry is handled, and nothing hangs."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from contextlib import closing
from typing import Any

import pytest
import redis

from gateway import Connection, Gateway
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support import keys
from gateway.redis_support.url import parse
from gateway.registry.base import AcquiredEntry, Entry
from gateway.registry.redis import RedisRegistry
from gateway.settings.config import Settings
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.integration.listing import all_keys, fenced_workers
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.inprocess import cluster, in_process
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


async def die(settings: Settings, entries: int, junk: int = 0) -> tuple[WorkerId, set[str]]:
    """A worker that died and left these entries."""
    dead = new_worker_id()
    registry = RedisRegistry(parse(settings.redis_url.reveal()), prefix=settings.redis_prefix)
    left = {
        new_connection_id(dead): Entry("ann", "192.0.2.1", "", "text", 0) for _ in range(entries)
    }
    for start in range(0, entries, 1000):
        some = dict(itertools.islice(left.items(), start, start + 1000))
        await registry.write(dead, start + 1, some, upon=range(start + 1))
    if junk:
        key = keys.connections(settings.redis_prefix, dead)
        with closing(redis.Redis.from_url(settings.redis_url.reveal())) as admin:
            admin.hset(key, mapping=dict.fromkeys(range(junk), "junk"))
    await registry.renew(dead, WorkerInfo(edge=True, handler=False), 0.05)
    await registry.aclose()
    return dead, set(left)


def listener(runs: Counter[str], takes_s: float) -> Gateway:
    gateway = Gateway()

    @gateway.on_disconnect
    async def gone(connection: Connection) -> None:
        runs[connection.id] += 1
        await asyncio.sleep(takes_s)

    return gateway


def left_of(server: RedisServer, settings: Settings, worker: WorkerId) -> set[str]:
    return {key for key in all_keys(server, settings) if worker in key}


async def test_sweepers_share_a_sweep_that_outlasts_its_claim(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4,000 entries and handlers of a second, scaled down: 1,200 and claims shorter than a handler.

    Red when a claim is not extended, and when who joins takes what is taken.
    """
    # A claim that a busy machine does not miss by being late.
    monkeypatch.setattr("gateway.registry.redis_leases.CLAIM_S", 2.0)
    monkeypatch.setattr("gateway.registry.redis_sweeps.CLAIM_S", 2.0)
    monkeypatch.setattr("gateway.cluster.sweep.EXTEND_S", 0.3)
    takers, runs, acquire = Counter[RedisRegistry](), Counter[str](), RedisRegistry.acquire

    async def noted(
        self: RedisRegistry, worker: WorkerId, count: int, **options: Any
    ) -> list[AcquiredEntry]:
        taken = await acquire(self, worker, count, **options)
        takers[self] += len(taken)
        return taken

    monkeypatch.setattr(RedisRegistry, "acquire", noted)
    own = settings(lease_seconds=1)
    async with cluster(own, 3, [listener(runs, 2.5) for _ in range(3)]) as workers:
        counted = Counted(*workers)
        dead, connections = await die(own, 1200)
        await eventually(lambda: dead in fenced_workers(redis_server, own), "the fence", 10)
        await eventually(lambda: not left_of(redis_server, own, dead), "the end of the sweep", 30)
        assert counted("gateway_worker_deaths_total") == 1  # though several claim it

    assert runs.keys() == connections
    assert set(runs.values()) == {1}
    assert len([taker for taker in takers if takers[taker] > 100]) > 1


async def test_a_sweep_ends_though_entries_come_twice(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when an id has two orphans: one of them waits for ever for its answer."""
    runs, acquire = Counter[str](), RedisRegistry.acquire

    async def twice(
        self: RedisRegistry, worker: WorkerId, count: int, **options: Any
    ) -> list[AcquiredEntry]:
        taken = await acquire(self, worker, count, **options)
        return taken + taken[:5]

    monkeypatch.setattr(RedisRegistry, "acquire", twice)
    own = settings(lease_seconds=1)
    async with in_process(own, listener(runs, 0)):
        dead, connections = await die(own, 300)
        await eventually(lambda: runs.keys() == connections, "the goodbyes", 10)
        await eventually(lambda: not left_of(redis_server, own, dead), "the end of the sweep")

    assert set(runs.values()) == {1}


async def test_junk_among_the_entries_does_not_break_off_a_sweep(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    """Red when fewer than were asked for are taken for the last: the next claim is 10 s off."""
    runs = Counter[str]()
    own = settings(lease_seconds=1)
    async with in_process(own, listener(runs, 0)):
        dead, connections = await die(own, 450, junk=30)
        await eventually(lambda: dead in fenced_workers(redis_server, own), "the fence", 10)
        await eventually(lambda: not left_of(redis_server, own, dead), "the end of the sweep")

    assert runs == dict.fromkeys(connections, 1)


@pytest.mark.parametrize("wanted", [True, False])
async def test_entries_wait_for_a_handler_worker_that_says_whether_it_wants_them(
    settings: MakeSettings, redis_server: RedisServer, wanted: bool
) -> None:
    """Red when an edge that has seen none yet removes them: 0 of 100 were told."""
    runs = Counter[str]()
    edge = settings(lease_seconds=1, role="edge")
    handler = settings(lease_seconds=1, role="handler")
    async with in_process(edge):
        dead, connections = await die(edge, 100)
        await eventually(lambda: dead in fenced_workers(redis_server, edge), "the fence", 10)
        assert left_of(redis_server, edge, dead)
        async with in_process(handler, listener(runs, 0) if wanted else Gateway()):
            await eventually(lambda: not left_of(redis_server, edge, dead), "the sweep", 10)

    assert runs == dict.fromkeys(connections, 1) if wanted else not runs


async def test_what_redis_is_about_to_forget_is_counted(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cluster.sweep.LAST_MOMENT_S", 7200.0)
    own = settings(lease_seconds=1, role="edge")
    async with in_process(own) as edge:
        counted = Counted(edge)
        dead, _ = await die(own, 450)
        await eventually(lambda: dead in fenced_workers(redis_server, own), "the fence", 10)
        await eventually(lambda: not left_of(redis_server, own, dead), "the end")

        assert counted("gateway_disconnects_given_up_total") == 450
