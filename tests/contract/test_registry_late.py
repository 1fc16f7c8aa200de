"""What comes after the end of a worker, and what a clock that is set makes of its lease."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from gateway.errors import BrokerUnavailable
from gateway.protocol.deadlines import MAX_LEASE_S
from gateway.redis_support import keys
from gateway.registry.base import Registry
from tests.contract.conftest import INFO, SOON_S, Connect, claim, ended, entry
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_server import RedisServer

_prefixes = itertools.count()


@pytest.mark.parametrize("upon", [range(1), range(2), None])
@pytest.mark.parametrize("how", ["fenced", "swept", "left"])
async def test_what_a_worker_writes_after_its_end_is_refused(
    registry: Registry, upon: range | None, how: str
) -> None:
    """Red when only renewals are: entries without a lease that nobody sweeps, for an hour."""
    me = new_worker_id()
    await registry.renew(me, INFO, SOON_S)
    if how == "left":
        await registry.leave(me)
    else:
        await ended(registry, me)
        assert await claim(registry, me)
    if how == "swept":
        await registry.finish(me)

    with pytest.raises(BrokerUnavailable, match="fenced or has left"):
        await registry.write(me, 2, {new_connection_id(me): entry()}, upon=upon)
    assert [item async for item in registry.entries(me)] == []


class TestRedisRegistry:
    """What only concerns Redis."""

    @pytest.mark.parametrize("key", [keys.dead, keys.left])
    async def test_a_clock_set_forward_by_days_brings_back_nobody(
        self, connect: Connect, redis_server: RedisServer, key: Callable[[str], str]
    ) -> None:
        """Red when fences are forgotten by the server's clock alone."""
        prefix, gone, other = f"days{next(_prefixes)}", new_worker_id(), new_worker_id()
        registry = connect(redis_server, prefix)
        with redis_server.client() as admin:
            days_ago_ms = (int(admin.time()[0]) - 3 * 86_400) * 1000
            admin.zadd(key(prefix), {gone: days_ago_ms})

            assert gone not in (await registry.renew(other, INFO, 10.0)).workers
            assert gone not in (await registry.renew(gone, INFO, 10.0)).workers

            admin.zadd(key(prefix), {new_worker_id(): days_ago_ms for _ in range(1000)})
            await registry.renew(other, INFO, 10.0)
            assert admin.zrange(key(prefix), 0, -1) == [b""]

    async def test_a_lease_that_ends_later_than_any_may_ends_within_a_lease(
        self, connect: Connect, redis_server: RedisServer
    ) -> None:
        """Redis' clock is set back while a host vanishes. Red: its messages hang for as long."""
        prefix, vanished, me, patient = f"back{next(_prefixes)}", *(new_worker_id() for _ in "abc")
        registry = connect(redis_server, prefix)
        with redis_server.client() as admin:
            now_s, _ = admin.time()
            admin.zadd(keys.workers(prefix), {vanished: (now_s + MAX_LEASE_S + 60) * 1000})
            await registry.renew(me, INFO, 10.0)
            leases = await registry.renew(patient, INFO, MAX_LEASE_S)

        assert leases.workers[vanished][0] <= leases.now_ms + 10_000
        assert leases.workers[patient][0] > leases.now_ms + 200_000
