"""Clocks are set, of hosts and of Redis: nothing that lasts is timed by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Report
from tests.support.crowd import Crowd
from tests.support.redis_server import RedisServer
from tests.support.stand import Stand, a_stand
from tests.support.waiting import eventually
from tests.support.wallclock import COMPILER, WallClock

IMPATIENT = "tests.support.apps.impatient"
SILENT_WORKER_S = 4  # of its supervisor
LEASE_S = 2
SHORT_LEASE = {"GATEWAY_LEASE_SECONDS": str(LEASE_S)}
DAY_S = 86_400
STEPS_S = (-60, 0, DAY_S, 60)  # ahead of the true time: back, forward, a day, back by most of it

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler, to set a program's clock")


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


async def test_setting_the_clock_of_a_host_ends_no_worker(
    stand: Stand, report: Report, clock: WallClock
) -> None:
    """Red without ``GatewayServer``'s own notifying: uvicorn's keeps silent until the wall clock is
    where it was, and the supervisor kills every worker of the host.
    """
    served = await stand.serve("--workers", "2", environment=clock.environment, module=IMPATIENT)
    workers = served.worker_pids()
    async with Crowd([served.ws_url], 50, pushes_per_second=50) as crowd:
        crowd.start_sending()
        for ahead_s in STEPS_S:
            clock.set_ahead(ahead_s)
            await crowd.send_for(SILENT_WORKER_S + 1.5)
            assert served.ready()
        ledger = await crowd.stop_sending()

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes
        assert served.worker_pids() == workers


async def test_setting_the_clock_forward_during_a_stop_cuts_no_drain_short(
    stand: Stand, clock: WallClock
) -> None:
    """Red with gunicorn's own clock: it kills what still drains, and clients see 1006."""
    served = await stand.serve(environment={**clock.environment, "GATEWAY_DRAIN_SECONDS": "3"})
    async with Crowd([served.ws_url], 30) as crowd:
        crowd.open = False  # nobody comes back
        served.signal(15)
        await eventually(lambda: crowd.connected < 30, "the drain")
        clock.set_ahead(DAY_S)
        await eventually(lambda: crowd.connected == 0, "its end", 10)

        assert set(crowd.ledger.closes) == {3001}
    assert served.wait() == 0


async def test_setting_the_clock_of_redis_fences_nobody(
    tmp_path: Path, report: Report, clock: WallClock
) -> None:
    """Red without ``RedisClock.stepped``: all leases have ended; whoever renews first fences."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with RedisServer(folder, environment=clock.environment) as redis:
        async with a_stand(redis, tmp_path) as stand:
            served = [await stand.serve(environment=SHORT_LEASE) for _ in range(3)]
            async with Crowd([s.ws_url for s in served], 50) as crowd:
                crowd.start_sending()
                for ahead_s in (0, 12, 72, 60, DAY_S, 0):
                    clock.set_ahead(ahead_s)
                    await crowd.send_for(LEASE_S + 2)  # so that all trust what they see
                ledger = await crowd.stop_sending()

                report(ledger)
                assert not ledger.broken
                assert ledger.answered == ledger.sent
                assert set(ledger.attempts) == {1}
                assert not ledger.closes
                assert not [e for s in served for e in s.events("worker died")]


async def test_an_old_snapshot_that_comes_back_fences_nobody(
    tmp_path: Path, report: Report
) -> None:
    """Redis starts three times from leases that have long ended, before anybody misses a renewal.

    Red where ``Members`` does not ask when this server began to know them (``known_since_ms``).
    """
    folder = tmp_path / "redis"
    folder.mkdir()
    with RedisServer(folder) as redis:
        async with a_stand(redis, tmp_path) as stand:
            served = [await stand.serve(environment=SHORT_LEASE) for _ in range(3)]
            async with Crowd([s.ws_url for s in served], 50) as crowd:
                crowd.start_sending()
                with redis.client() as admin:
                    admin.save()
                for _ in range(3):
                    await crowd.send_for(2 * LEASE_S + 1)  # so that all trust what they see
                    redis.kill()
                    redis.start()
                await crowd.send_for(2 * LEASE_S + 1)
                ledger = await crowd.stop_sending()

                report(ledger)
                assert not ledger.broken
                assert ledger.answered == ledger.sent
                assert not ledger.closes
                assert not [e for s in served for e in s.events("worker died")]
                await stand.registry_true(crowd)
