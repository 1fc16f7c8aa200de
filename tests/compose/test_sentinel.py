"""docker-compose.yml with its profile ``sentinel``: the primary is killed, twice."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.support.compose import ComposeStack
from tests.support.crowd import Crowd
from tests.support.waiting import blocking_eventually, eventually

CLIENTS = 40
REPLICAS = 2
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")


def named(stack: ComposeStack) -> str:
    """The address of the primary, as a Sentinel says."""
    asked = ("sentinel", "get-master-addr-by-name", "main")
    told = stack.compose("exec", "-T", "sentinel-1", "redis-cli", "-p", "26379", *asked)
    return told.split()[0]


def primary(stack: ComposeStack) -> str:
    """The service that has this address."""
    address = named(stack)
    for node in ("redis-1", "redis-2", "redis-3"):
        if not stack.containers(node):
            continue
        if address in stack.compose("exec", "-T", node, "hostname", "-i").split():
            return node
    raise AssertionError(f"nobody is at {address}")


def is_another(stack: ComposeStack, than: str) -> bool:
    return named(stack) != than


def all_follow(stack: ComposeStack, node: str) -> bool:
    told = stack.compose("exec", "-T", node, "redis-cli", "info", "replication")
    return told.count("state=online") == REPLICAS


def switch(stack: ComposeStack) -> None:
    before = named(stack)
    asked = ("sentinel", "failover", "main")
    stack.compose("exec", "-T", "sentinel-1", "redis-cli", "-p", "26379", *asked)
    blocking_eventually(lambda: named(stack) != before, "a promotion", 30)


async def test_the_primary_is_killed_twice_and_nobody_notices(image: str) -> None:
    """The second time it is one that was promoted, and the first has come back as a replica.

    At last all Sentinels begin anew, and find the primary, which is not the first one.
    """
    with ComposeStack(image, profile="sentinel") as stack:
        await asyncio.to_thread(stack.up)
        assert primary(stack) == "redis-1"
        async with Crowd([stack.ws_url], CLIENTS, per_second=2) as crowd:
            crowd.start_sending()
            await crowd.send_for(2)
            for _ in range(2):
                killed = await asyncio.to_thread(primary, stack)
                address = await asyncio.to_thread(named, stack)
                await asyncio.to_thread(stack.compose, "kill", killed)
                await eventually(partial(is_another, stack, address), "a promotion", 30)
                await crowd.send_for(5)
                await asyncio.to_thread(stack.compose, "start", killed)
                new = await asyncio.to_thread(primary, stack)
                assert new != killed
                await eventually(partial(all_follow, stack, new), f"{killed} as a replica", 60)
            if new == "redis-1":  # whom a Sentinel took that knew no better
                await asyncio.to_thread(switch, stack)
            address = await asyncio.to_thread(named, stack)
            await asyncio.to_thread(stack.compose, "restart", "--timeout", "1", *SENTINELS)
            await asyncio.to_thread(stack.up)
            assert await asyncio.to_thread(named, stack) == address
            await crowd.send_for(5)
            ledger = await crowd.stop_sending()

            print(ledger.table("the primary is killed twice"))
            assert not ledger.broken
            assert ledger.answered == ledger.sent
            assert not ledger.closes
            assert len(stack.ask("watched", "workers")) == 2
