"""docker-compose.yml with its profile ``sentinel``: the primary is killed, twice."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.support.backend import backend
from tests.support.channel_crowd import ChannelCrowd
from tests.support.compose import ComposeStack
from tests.support.crowd import Crowd
from tests.support.waiting import eventually

CLIENTS = 40
ROOM = "room:switched"
INSUFFICIENT = 2500
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


async def kill_the_primary(stack: ComposeStack, crowd: Crowd) -> str:
    """It comes back as a replica of the one that was promoted meanwhile, which is returned."""
    killed = await asyncio.to_thread(primary, stack)
    address = await asyncio.to_thread(named, stack)
    await asyncio.to_thread(stack.compose, "kill", killed)
    await eventually(partial(is_another, stack, address), "a promotion", 30)
    await crowd.send_for(5)
    await asyncio.to_thread(stack.compose, "start", killed)
    new = await asyncio.to_thread(primary, stack)
    assert new != killed
    await eventually(partial(all_follow, stack, new), f"{killed} as a replica", 60)
    return new


async def kill_it_twice_beside_a_room(stack: ComposeStack, crowd: Crowd) -> str:
    """Who is in the room is told each time, once, that publications may be missing.

    Red when a promoted replica goes on in the epoch of before. Returns the primary.
    """
    [container, *_] = stack.containers("watched")
    async with (
        ChannelCrowd([stack.port], CLIENTS, lambda _: [ROOM], recoverable=True) as room,
        backend(container, ROOM, room.ledger) as talker,
    ):
        await talker.goes_on(20)
        for times in (1, 2):
            new = await kill_the_primary(stack, crowd)
            told = partial(everybody_is_told, room, times)
            await eventually(told, f"the epoch of switch {times} for everybody", 20)
            await talker.goes_on(20)
        await talker.stop()
        await room.caught_up()
        ledger = room.ledger
        print(f"\n{ledger.table('a room beside it')}; {len(talker.failures)} attempts repeated")
        assert not ledger.broken
        assert not ledger.closes
        assert ledger.ends == {INSUFFICIENT: 2 * CLIENTS}
        assert not ledger.recovered
        assert len(ledger.tops[ROOM]) == 3  # epochs
        return new


def everybody_is_told(room: ChannelCrowd, times: int) -> bool:
    return room.ledger.not_recovered == times * CLIENTS and room.live == CLIENTS


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
            new = await kill_it_twice_beside_a_room(stack, crowd)
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
