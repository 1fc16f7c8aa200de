"""A Cluster whose slots move under load, and whose masters are killed, added and removed.

Slots that move lose nothing: publications wait for them, and links send again. A master that is
killed loses what it had not told its replica yet, and holds up what lives on it alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.redis_support import keys
from gateway.redis_support.slots import slot_of
from tests.faults.channel_stand import LONG
from tests.faults.channel_stand import serve as serve_channels
from tests.faults.conftest import PUSHES, Report
from tests.faults.test_channels_redis_fails import assert_kept
from tests.faults.test_redis_fails import all_ready
from tests.support.channel_crowd import ChannelCrowd
from tests.support.channel_publisher import ChannelPublisher
from tests.support.crowd import Crowd
from tests.support.redis_cluster import ClusterNode, RedisCluster
from tests.support.serve import Served
from tests.support.stand import Stand, a_stand
from tests.support.waiting import eventually

CLIENTS = 100
SUBSCRIBERS = 100
FOLLOWED_S = 10.0
WORKERS = keys.workers("gw")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """One whose masters go on when another one is away."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    with RedisCluster(folder, "--cluster-require-full-coverage", "no") as made:
        yield made


@pytest.fixture
async def stand(cluster: RedisCluster, tmp_path: Path) -> AsyncIterator[Stand]:
    async with a_stand(cluster.master_of(WORKERS), tmp_path) as made:
        yield made


def inbox_slots(cluster: RedisCluster) -> list[int]:
    workers = cluster.master_of(WORKERS).ask("ZRANGE", WORKERS, 0, -1)
    return [slot_of(keys.inbox("gw", worker.decode())) for worker in workers]


async def move_to_and_fro(
    cluster: RedisCluster, slots: Sequence[int], masters: Sequence[ClusterNode], rounds: int
) -> None:
    """Each round moves each of these slots to the next of these masters."""
    for number in range(rounds):
        for slot in slots:
            at = masters.index(cluster.master_of(slot))
            to = masters[(at + 1) % len(masters)]
            await asyncio.to_thread(cluster.move, slot, to)
        await asyncio.sleep(0.2 * (number % 2))


def away(served: Sequence[Served]) -> set[str]:
    """The masters that a gateway says are away."""
    pattern = r'(?m)^gateway_redis_master_away{master="(\S+)"} [1-9]'
    return {master for one in served for master in re.findall(pattern, one.get("/metrics")[1])}


async def promoted(cluster: RedisCluster, slot: int, old: ClusterNode) -> ClusterNode:
    """The next master of this slot."""

    def another() -> bool:
        try:
            return cluster.master_of(slot) is not old
        except LookupError:
            return False

    await eventually(another, "a promotion", 15)
    return cluster.master_of(slot)


async def test_slots_that_move_lose_no_message(
    cluster: RedisCluster, stand: Stand, report: Report
) -> None:
    """The inboxes of workers, the channel of all of them, and the leases go to and fro."""
    served = [await stand.serve(redis_url=cluster.url) for _ in range(2)]
    async with Crowd(
        [s.ws_url for s in served], CLIENTS, per_second=5, pushes_per_second=PUSHES
    ) as crowd:
        crowd.start_sending()
        await crowd.send_for(1)
        slots = [*inbox_slots(cluster), slot_of(keys.everyone("gw")), slot_of(WORKERS)]
        await move_to_and_fro(cluster, slots, cluster.nodes[:3], 6)
        await crowd.send_for(2)
        ledger = await crowd.stop_sending()
        stand.redis = cluster.master_of(WORKERS)
        await stand.registry_true(crowd)
        await all_ready(served)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes


async def test_channels_go_with_their_slots_and_keep_their_positions(
    cluster: RedisCluster, stand: Stand, report: Report
) -> None:
    """No gap is declared, for none was: history comes along, and its epoch goes on.

    Red when a channel is believed only where its last publication was stored.
    """
    served = [await serve_channels(stand, redis_url=cluster.url) for _ in range(2)]
    channels = list(LONG)
    async with (
        ChannelCrowd(
            [s.port for s in served], SUBSCRIBERS,
            lambda number: [channels[number % len(channels)]], recoverable=True,
        ) as crowd,
        ChannelPublisher(cluster.url, LONG, crowd.ledger, per_second=20) as publisher,
    ):  # fmt: skip
        publisher.start()
        await asyncio.sleep(1)
        slots = [slot_of(keys.history("gw", channel)) for channel in channels[:6]]
        await move_to_and_fro(cluster, slots, cluster.nodes[:3], 4)
        await asyncio.sleep(2)
        await publisher.stop()
        await crowd.caught_up()

        report(crowd.ledger)
        assert_kept(crowd.ledger)
        assert crowd.ledger.not_recovered == 0
        assert crowd.ledger.in_doubt == 0


@pytest.mark.parametrize("case", ["the leases", "another", "another without a replica"])
async def test_a_master_is_killed(
    case: str, cluster: RedisCluster, stand: Stand, report: Report
) -> None:
    """What lives on it waits for its replica, or for itself, empty. Nothing is lost, none closed.

    The inbox of one of the workers lives on it.
    """
    served = [await stand.serve(redis_url=cluster.url) for _ in range(2)]
    leases, inbox = slot_of(WORKERS), inbox_slots(cluster)[0]
    others = [node for node in cluster.nodes[:3] if node is not cluster.master_of(leases)]
    slot = leases if case == "the leases" else inbox
    if cluster.master_of(slot) not in others and slot == inbox:
        await asyncio.to_thread(cluster.move, inbox, others[0])
    async with Crowd(
        [s.ws_url for s in served], CLIENTS, per_second=5, pushes_per_second=PUSHES
    ) as crowd:
        crowd.start_sending()
        await crowd.send_for(1)
        old = cluster.master_of(slot)
        if case == "another without a replica":
            await asyncio.to_thread(cluster.replica_of(old).kill)
            await asyncio.to_thread(old.kill)
            await crowd.send_for(3)
            assert away(served) == {f"127.0.0.1:{old.port}"}
        else:
            await asyncio.to_thread(old.kill)
            await promoted(cluster, slot, old)
            await crowd.send_for(2)
        await asyncio.to_thread(old.start)
        await crowd.send_for(2)
        ledger = await crowd.stop_sending()
        stand.redis = cluster.master_of(WORKERS)
        await stand.registry_true(crowd)
        await all_ready(served)
        await eventually(lambda: not away(served), "masters that are all there")

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes


async def test_a_node_is_added_and_another_one_removed(
    cluster: RedisCluster, stand: Stand, report: Report
) -> None:
    served = [await serve_channels(stand, redis_url=cluster.url) for _ in range(2)]
    channels = list(LONG)
    async with (
        ChannelCrowd(
            [s.port for s in served], SUBSCRIBERS,
            lambda number: [channels[number % len(channels)]], recoverable=True,
        ) as crowd,
        ChannelPublisher(cluster.url, LONG, crowd.ledger, per_second=20) as publisher,
    ):  # fmt: skip
        publisher.start()
        await asyncio.sleep(1)
        added = await asyncio.to_thread(cluster.add)
        slots = [slot_of(keys.history("gw", channel)) for channel in channels]
        slots += [*inbox_slots(cluster), slot_of(WORKERS)]
        homes = {slot: cluster.master_of(slot) for slot in slots}
        for slot in slots:
            await asyncio.to_thread(cluster.move, slot, added)
        await asyncio.sleep(2)
        for slot in slots:
            await asyncio.to_thread(cluster.move, slot, homes[slot])
        await asyncio.to_thread(cluster.remove, added)
        await asyncio.sleep(2)
        await publisher.stop()
        await crowd.caught_up()
        await all_ready(served)

        report(crowd.ledger)
        assert_kept(crowd.ledger)
        assert crowd.ledger.not_recovered == 0
