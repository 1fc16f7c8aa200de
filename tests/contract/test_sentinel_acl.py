"""The shipped sentinel-acl.conf: a Sentinel refuses its user nothing that the gateway asks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import redis

from gateway.redis_support.check import check
from gateway.redis_support.url import parse
from tests.support.redis_server import RedisServer
from tests.support.sentinels import NAME, Sentinel
from tests.support.serve import ROOT
from tests.support.waiting import eventually

SHIPPED = ROOT / "deploy" / "redis" / "sentinel-acl.conf"


async def test_its_user_may_ask_all_that_is_asked_and_hears_of_switches(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Red without any one of its rights."""
    sentinel = Sentinel(tmp_path / "s", redis_server.port, config=SHIPPED.read_text())
    sentinel.start()
    try:
        options = "sentinel_username=gateway&sentinel_password=change-me"
        address = parse(f"redis+sentinel://127.0.0.1:{sentinel.port}/{NAME}?{options}")
        await asyncio.to_thread(check, address, "gw")
        assert address.sentinels is not None
        watching = asyncio.create_task(address.sentinels.watch())
        with sentinel.client() as admin:
            await eventually(lambda: _hears_of_switches(admin), "a listener")
            # One Sentinel of the two that its quorum needs: told by CKQUORUM alone.
            sentinels = address.sentinels
            await eventually(lambda: sentinels.quorum_lost, "what it says of its quorum")
            assert admin.acl_log() == []
        watching.cancel()
        await asyncio.wait({watching})
        await address.sentinels.aclose()
    finally:
        sentinel.kill()


def _hears_of_switches(admin: redis.Redis) -> bool:
    return any((one["user"], one["sub"]) == ("gateway", "1") for one in admin.client_list())
