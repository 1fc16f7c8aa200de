"""Redis dies, freezes and is cut off: no socket closes because of any of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from gateway.redis_support import keys
from tests.faults.conftest import PUSHES, Report
from tests.support.crowd import Crowd, Ledger
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.serve import Served
from tests.support.stand import Stand
from tests.support.waiting import eventually

CLIENTS = 200


async def assert_nobody_noticed(ledger: Ledger, served: Sequence[Served]) -> None:
    """Everything is answered in time, no socket closed, and every message was handled once."""
    assert not ledger.broken
    assert ledger.answered == ledger.sent
    assert not ledger.closes
    assert not ledger.late
    assert ledger.attempts.keys() == {1}

    def handled() -> float:
        return sum(s.metric("gateway_handler_seconds_count") for s in served)

    await eventually(lambda: handled() >= ledger.sent, "the count of handled messages")
    assert handled() == ledger.sent


async def all_ready(served: Sequence[Served], within_s: float = 15.0) -> None:
    await eventually(lambda: all(s.ready() for s in served), "readiness of all", within_s)


async def test_redis_is_killed_and_comes_back_empty(stand: Stand, report: Report) -> None:
    """Leases, registry and scripts are gone; everything is registered again by itself.

    Red without ``Registration.check``: the registry stays empty.
    """
    served = [await stand.serve() for _ in range(2)]
    async with Crowd(
        [s.ws_url for s in served], CLIENTS, per_second=5, pushes_per_second=PUSHES
    ) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        await asyncio.to_thread(stand.redis.kill)
        await crowd.send_for(2)
        await asyncio.to_thread(stand.redis.start)
        await stand.registry_true(crowd)
        await all_ready(served)
        await crowd.send_for(12)  # longer than a lease: nobody may be fenced for it
        ledger = await crowd.stop_sending()

        report(ledger)
        await assert_nobody_noticed(ledger, served)


async def test_redis_loses_everything_and_the_first_to_look_sees_nobody(
    stand: Stand, report: Report
) -> None:
    """No connection breaks, and the first to renew believes what it sees by then.

    The others are stopped for a while (much less than a lease), so that it is surely the first.
    Red when ``Members`` does not look at ``Leases.known_since_ms``: the others are taken for gone.
    """
    first, *others = [await stand.serve() for _ in range(3)]
    async with Crowd(
        [s.ws_url for s in stand.served], CLIENTS, per_second=5, pushes_per_second=PUSHES
    ) as crowd:
        crowd.start_sending()
        await crowd.send_for(11)
        stopped = [stand.worker_of(served) for served in others]
        with stand.redis.client() as redis:
            for worker in stopped:
                worker.suspend()
            redis.flushall()
            await eventually(lambda: redis.exists(keys.workers("gw")), "a renewal")
        await crowd.send_for(0.5)
        for worker in stopped:
            worker.resume()
        await stand.registry_true(crowd)
        await crowd.send_for(4)
        ledger = await crowd.stop_sending()

        report(ledger)
        await assert_nobody_noticed(ledger, stand.served)
        assert not first.events("worker gone")


async def test_redis_freezes_for_8_s(stand: Stand, report: Report) -> None:
    """A frozen server raises no error: deadlines find it, and what it swallowed is sent again.

    Red without ``Link.repeats``: what was published to it is lost.
    """
    served = [await stand.serve() for _ in range(2)]
    async with Crowd(
        [s.ws_url for s in served], CLIENTS, per_second=5, pushes_per_second=PUSHES
    ) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        stand.redis.freeze()
        await crowd.send_for(8)
        assert not any(s.ready() for s in served)
        stand.redis.thaw()
        await all_ready(served)
        await crowd.send_for(12)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        await assert_nobody_noticed(ledger, served)


async def test_every_link_to_redis_is_cut_for_12_s(stand: Stand, report: Report) -> None:
    """Longer than a lease, and one link comes back after the other: all leases have ended.

    Red with trust from the first renewal on (``Members.trusted``): the first one back fences all.
    """
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(Proxy(stand.redis.port)) for _ in range(3)]
        served = [await stand.serve(redis_url=link.url) for link in links]
        async with Crowd(
            [s.ws_url for s in served], CLIENTS, per_second=2, pushes_per_second=PUSHES
        ) as crowd:
            crowd.start_sending()
            await crowd.send_for(12)  # until everybody may believe what they see
            for link in links:
                link.cut()
            await crowd.send_for(12)
            for link in links:
                link.mend()
                await crowd.send_for(1)
            await all_ready(served)
            await stand.registry_true(crowd)
            await crowd.send_for(12)
            ledger = await crowd.stop_sending()

            report(ledger)
            await assert_nobody_noticed(ledger, served)


async def test_one_subscription_is_killed_again_and_again(stand: Stand, report: Report) -> None:
    """Red without ``Link.repeats``: what fell into a gap is lost."""
    served = [await stand.serve() for _ in range(2)]
    async with Crowd([s.ws_url for s in served], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        for _ in range(10):
            # One that is late to come back is waited for, or nothing would be killed in this round.
            await eventually(lambda: kill_one_subscription(stand.redis), "one to kill", 15)
            await crowd.send_for(0.7)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        await assert_nobody_noticed(ledger, served)
        await eventually(
            lambda: sum(s.metric("gateway_resyncs_total") for s in served) >= 8, "eight resyncs"
        )


async def test_a_subscription_is_cut_by_its_output_buffer_limit(
    stand: Stand, report: Report
) -> None:
    """A worker that is asleep for a while gets more than Redis wants to keep for it.

    Red without ``Link.repeats``: what Redis threw away is lost.
    """
    served = [await stand.serve() for _ in range(2)]
    with stand.redis.client() as admin:
        admin.config_set("client-output-buffer-limit", "pubsub 65536 65536 1")
    async with Crowd([s.ws_url for s in served], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(1)
        sleepy = stand.worker_of(served[0])
        [name] = [e["worker_id"] for e in served[0].events("worker starts")]
        before = subscription_of(stand.redis, name)
        sleepy.suspend()
        try:
            await asyncio.to_thread(flood, stand.redis, f"gw:inbox:{name}")
        finally:
            sleepy.resume()
        await eventually(
            lambda: subscription_of(stand.redis, name) not in {before, None}, "the cut", 15
        )
        await crowd.send_for(4)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        await assert_nobody_noticed(ledger, served)


def kill_one_subscription(redis: RedisServer) -> bool:
    """Whether there was one."""
    with redis.client() as admin:
        victims = [c for c in admin.client_list(_type="pubsub") if "gateway" in c["name"]]
        return bool(victims) and bool(admin.client_kill_filter(_id=victims[0]["id"]))


def flood(redis: RedisServer, channel: str) -> None:
    """More than the kernel's buffers and the limit together hold, none of it readable."""
    with redis.client() as admin:
        for _ in range(200):
            admin.publish(channel, b"\xc1" * 100_000)


def subscription_of(redis: RedisServer, worker: str) -> str | None:
    """The number of a worker's subscribing connection."""
    with redis.client() as admin:
        for client in admin.client_list(_type="pubsub"):
            if client["name"] == f"gateway.{worker}.subscribe":
                return str(client["id"])
    return None
