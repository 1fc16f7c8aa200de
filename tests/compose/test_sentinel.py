"""docker-compose.yml with its profile ``sentinel``: the primary is killed, twice."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.support.compose import ComposeStack
from tests.support.crowd import Crowd
from tests.support.waiting import eventually

CLIENTS = 40
REPLICAS = 2
NODES = ("redis-1", "redis-2", "redis-3")
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")


def named(stack: ComposeStack) -> str:
    """The address of the primary, as a Sentinel says."""
    asked = ("sentinel", "get-master-addr-by-name", "main")
    told = stack.compose("exec", "-T", "sentinel-1", "redis-cli", "-p", "26379", *asked)
    return told.split()[0]


def primary(stack: ComposeStack) -> str:
    """The service that has this address."""
    address = named(stack)
    for node in NODES:
        if not stack.containers(node):
            continue
        if address in stack.compose("exec", "-T", node, "hostname", "-i").split():
            return node
    raise AssertionError(f"nobody is at {address}")


def is_another(stack: ComposeStack, than: str) -> bool:
    return named(stack) != than


def ask(stack: ComposeStack, node: str, *command: str) -> str:
    return stack.compose("exec", "-T", node, "redis-cli", *command).strip()


def all_follow(stack: ComposeStack, node: str) -> bool:
    return ask(stack, node, "info", "replication").count("state=online") == REPLICAS


def half_switch(stack: ComposeStack) -> str:
    """A switch of which all Sentinels went: one is promoted, and nobody follows it yet.

    Who that is; it is not whom a Sentinel takes that knows no better.
    """
    was = primary(stack)
    promoted = next(node for node in NODES[1:] if node != was)
    stack.compose("stop", "--timeout", "1", *SENTINELS)
    ask(stack, promoted, "replicaof", "no", "one")
    return promoted


async def test_the_primary_is_killed_twice_and_nobody_notices(image: str) -> None:
    """The second time it is one that was promoted, and the first has come back as a replica.

    Then a primary restarts too fast to be missed; all Sentinels begin anew, amid a switch; and once
    more together with a primary whose container is another. What was written is there each time.
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
            await asyncio.to_thread(ask, stack, new, "set", "mark", "written")
            await asyncio.to_thread(stack.compose, "restart", "--timeout", "0", new)
            await asyncio.to_thread(stack.up)
            again = await asyncio.to_thread(primary, stack)
            assert again != new
            await eventually(partial(all_follow, stack, again), f"{new} as a replica", 60)
            assert await asyncio.to_thread(ask, stack, again, "get", "mark") == "written"
            promoted = await asyncio.to_thread(half_switch, stack)
            await asyncio.to_thread(stack.up)
            assert await asyncio.to_thread(primary, stack) == promoted
            await eventually(partial(all_follow, stack, promoted), "all to follow it", 60)
            await crowd.send_for(5)
            assert await asyncio.to_thread(ask, stack, promoted, "get", "mark") == "written"
            await asyncio.to_thread(stack.compose, "kill", promoted, *SENTINELS)
            await asyncio.to_thread(stack.compose, "rm", "--force", promoted)
            await asyncio.to_thread(stack.up)
            new = await asyncio.to_thread(primary, stack)
            assert new != promoted
            await eventually(partial(all_follow, stack, new), "all to follow the next", 60)
            assert await asyncio.to_thread(ask, stack, new, "get", "mark") == "written"
            await crowd.send_for(5)
            ledger = await crowd.stop_sending()

            print(ledger.table("the primary is killed twice"))
            assert not ledger.broken
            assert ledger.answered == ledger.sent
            assert not ledger.closes
            assert len(stack.ask("watched", "workers")) == 2
