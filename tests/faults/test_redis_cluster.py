"""A Cluster whose slots move under load, and whose masters are killed, added and removed.

Slots that move lose nothing: publications wait for them, and links send again. A master that is
killed loses what it had not told its replica yet, and holds up what lives on it alone.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.redis_support import keys
from gateway.redis_support.slots import slot_of
from tests.faults.channel_stand import LONG
from tests.faults.channel_stand import serve as serve_channels
from tests.faults.conftest import PUSHES, Report
from tests.faults.test_channels_redis_fails import ANSWERED_S, INTERNAL, assert_kept
from tests.faults.test_redis_fails import all_ready
from tests.support.channel_crowd import ChannelCrowd
from tests.support.channel_ledger import NUMBERS, ChannelLedger
from tests.support.channel_publisher import ChannelPublisher
from tests.support.client_publisher import ClientPublisher
from tests.support.crowd import Crowd
from tests.support.redis_cluster import ClusterNode, RedisCluster
from tests.support.serve import Served
from tests.support.stand import Stand, a_stand
from tests.support.waiting import eventually, eventually_async

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


@dataclass
class Publishing:
    """Clients that publish to channels, and those that have subscribed there."""

    crowd: ChannelCrowd
    clients: Sequence[ClientPublisher]

    def clients_of(self, channel: str) -> list[ClientPublisher]:
        return [client for client in self.clients if client.channel == channel]

    async def end(self) -> ChannelLedger:
        """Stop publishing, which works again; what there is must come to everybody."""
        await asyncio.gather(*(client.works(ANSWERED_S) for client in self.clients))
        await asyncio.gather(*(client.stop(ANSWERED_S) for client in self.clients))
        await self.crowd.caught_up()
        return self.crowd.ledger

    def assert_answered(self, channel: str, errors: Collection[int]) -> None:
        """Each publication once, and in time; that those acknowledged were delivered, or declared
        missing, says the ledger.
        """
        for client in self.clients_of(channel):
            print(
                f"{channel}: of {client.sent} publications {len(client.acknowledged)} acknowledged,"
                f" refused {dict(client.refused)}, after {client.slowest_s:.2f} s"
            )
            assert client.sent == len(client.acknowledged) + client.refused.total()
            assert client.refused.keys() <= set(errors)
            assert client.slowest_s <= ANSWERED_S


@asynccontextmanager
async def clients_publish(served: Sequence[Served], *channels: str) -> AsyncIterator[Publishing]:
    """One at each of these gateways to each of these channels; two subscribers of each there."""
    ports = [one.port for one in served]
    async with AsyncExitStack() as stack:
        crowd = await stack.enter_async_context(
            ChannelCrowd(ports, 2 * len(ports), lambda _: list(channels), recoverable=True)
        )
        clients = [
            await stack.enter_async_context(
                ClientPublisher(port, channel, crowd.ledger, serial=number * NUMBERS)
            )
            for number, (port, channel) in enumerate(itertools.product(ports, channels), 1)
        ]
        yield Publishing(crowd, clients)


async def promoted(cluster: RedisCluster, slot: int, old: ClusterNode) -> ClusterNode:
    """The next master of this slot."""

    def another() -> bool:
        try:
            return cluster.master_of(slot) is not old
        except LookupError:
            return False

    # In a thread: asking one that is dead takes seconds, in which nobody would send anything.
    await eventually_async(lambda: asyncio.to_thread(another), "a promotion", 15)
    return await asyncio.to_thread(cluster.master_of, slot)


@asynccontextmanager
async def channels_followed(
    cluster: RedisCluster, stand: Stand
) -> AsyncIterator[tuple[ChannelCrowd, ChannelPublisher]]:
    """Two workers with subscribers of all channels, and a backend that publishes to these."""
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
        yield crowd, publisher


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
    async with channels_followed(cluster, stand) as (crowd, publisher):
        slots = [slot_of(keys.history("gw", channel)) for channel in list(LONG)[:6]]
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

    The inbox of one of the workers lives on it, and a channel to which clients publish: they are
    answered in time, and truly. Those that publish at another master notice nothing.

    Red when publications fail wherever they live while a master is away.
    """
    served = [await serve_channels(stand, redis_url=cluster.url) for _ in range(2)]
    leases, inbox = slot_of(WORKERS), inbox_slots(cluster)[0]
    others = [node for node in cluster.nodes[:3] if node is not cluster.master_of(leases)]
    slot = leases if case == "the leases" else inbox
    if cluster.master_of(slot) not in others and slot == inbox:
        await asyncio.to_thread(cluster.move, inbox, others[0])
    old = cluster.master_of(slot)
    homes = {name: cluster.master_of(slot_of(keys.history("gw", name))) for name in LONG}
    dying = next(name for name, home in homes.items() if home is old)
    living = next(name for name, home in homes.items() if home is not old)
    async with Crowd(
        [s.ws_url for s in served], CLIENTS, per_second=5, pushes_per_second=PUSHES
    ) as crowd:
        async with clients_publish(served, dying, living) as publishing:
            crowd.start_sending()
            await crowd.send_for(1)
            if case == "another without a replica":
                await asyncio.to_thread(cluster.replica_of(old).kill)
                await asyncio.to_thread(old.kill)
                await crowd.send_for(3)
                gone = {f"127.0.0.1:{old.port}"}
                await eventually(lambda: away(served) == gone, "word of the one that is away")
                refused = publishing.clients_of(dying)
                await eventually(
                    lambda: all(client.refused for client in refused), "refusals", ANSWERED_S
                )
            else:
                await asyncio.to_thread(old.kill)
                await promoted(cluster, slot, old)
                await crowd.send_for(2)
            await asyncio.to_thread(old.start)
            await crowd.send_for(2)
            told = await publishing.end()
            report(told)
            assert_kept(told, errors={INTERNAL})
        ledger = await crowd.stop_sending()
        stand.redis = cluster.master_of(WORKERS)
        await stand.registry_true(crowd)
        await all_ready(served)
        await eventually(lambda: not away(served), "masters that are all there")

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes
        publishing.assert_answered(dying, errors={INTERNAL})
        publishing.assert_answered(living, errors=set())


async def test_a_node_is_added_and_another_one_removed(
    cluster: RedisCluster, stand: Stand, report: Report
) -> None:
    async with channels_followed(cluster, stand) as (crowd, publisher):
        added = await asyncio.to_thread(cluster.add)
        slots = [slot_of(keys.history("gw", channel)) for channel in LONG]
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
        await all_ready(stand.served)

        report(crowd.ledger)
        assert_kept(crowd.ledger)
        assert crowd.ledger.not_recovered == 0
