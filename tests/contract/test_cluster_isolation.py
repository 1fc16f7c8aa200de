"""A master of a Cluster that is away: what lives on the others goes on, and notices nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.backend_client.channels import ClientChannels
from gateway.broker.redis_cluster import ClusterBroker
from gateway.channel_broker.base import HistoryOptions, Publishing
from gateway.channel_broker.redis_cluster import ClusterChannelBroker
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support import keys
from gateway.redis_support.address import parse
from gateway.redis_support.slots import slot_of
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.contract.channel_brokers import Listener, until_connected
from tests.contract.channel_brokers import running as running_channels
from tests.contract.test_broker import Collector, publish, running
from tests.support.redis_cluster import RedisCluster
from tests.support.waiting import eventually

ROUNDS = 300
KEPT = HistoryOptions(10, 60, 60)
UNNOTICED_S = 0.05  # below it, twice as long is noise


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Without replicas: nobody takes over."""
    with RedisCluster(
        tmp_path, "--cluster-require-full-coverage", "no", replicas=0, node_timeout_ms=60_000
    ) as made:
        yield made


def names_at(cluster: RedisCluster, number: int, form: str) -> list[str]:
    """Two names whose channels live at this master."""
    node = cluster.nodes[number]
    first, last, _ = next(
        one for one in node.ask("CLUSTER", "SLOTS") if int(one[2][1]) == node.port
    )
    names = (f"room{n}" for n in range(1000))
    found = [name for name in names if first <= slot_of(form.format(name)) <= last]
    return found[:2]


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


async def test_what_lives_on_other_masters_is_as_fast_as_before(cluster: RedisCluster) -> None:
    """Batches of links and publications of channels, while a third of the Cluster is frozen."""
    address, inbox, listener = parse(cluster.url), Collector(), Listener()
    form = keys.channel_messages("iso", "{}").replace("{chan:{}}", "{{chan:{}}}")
    batches, channel = names_at(cluster, 0, "{}")[0], names_at(cluster, 1, form)[0]
    theirs, their_channel = names_at(cluster, 2, "{}")[0], names_at(cluster, 2, form)[0]
    channels = ClusterChannelBroker(parse(cluster.url), prefix="iso")
    async with (
        running(ClusterBroker(address), inbox) as broker,
        running_channels(channels, listener),
    ):
        for name in (batches, theirs):
            await broker.subscribe(name)
        await channels.subscribe(channel)
        await until_connected(channels)
        await publish(broker, (batches, b"warm"), (theirs, b"warm"))
        await channels.publish(Publishing(their_channel, b"warm", KEPT))

        async def measure() -> list[float]:
            times = []
            for _ in range(ROUNDS):
                began = time.perf_counter()  # the loop's counts milliseconds
                assert await broker.route(batches).publish([(batches, b"")]) == [1]
                stored = await channels.publish(Publishing(channel, b"", KEPT))
                assert stored.position is not None
                times.append(time.perf_counter() - began)
            return times

        before = await measure()
        cluster.nodes[2].freeze()
        try:
            held_up: list[asyncio.Future[Any]] = [
                broker.route(theirs).publish([(theirs, b"")]),
                channels.publish(Publishing(their_channel, b"", KEPT)),
            ]
            during = await measure()
            assert not any(one.done() for one in held_up)
        finally:
            cluster.nodes[2].thaw()
        await asyncio.wait(held_up)

    print(
        f"p99: {1000 * p99(before):.2f} ms before, {1000 * p99(during):.2f} ms while a master is"
        " frozen"
    )
    # Of their p99, the two or three rounds in which the machine did something else make what it is.
    assert statistics.median(during) < 2 * max(statistics.median(before), UNNOTICED_S)
    assert inbox.resyncs == []
    assert listener.resyncs == []


async def test_a_client_works_where_masters_are_up(cluster: RedisCluster) -> None:
    """It begins while one is away. Red when it waits for all of them."""
    address, form = parse(cluster.url), keys.channel_messages("away", "{}")
    form = form.replace("{chan:{}}", "{{chan:{}}}")
    workers = slot_of(keys.workers("away"))
    gone = next(n for n in range(3) if not cluster.nodes[n].owns(workers))
    here = next(n for n in range(3) if n != gone)
    namespaces = Namespaces(ChannelOptions(presence=True))
    broker = ClusterChannelBroker(parse(cluster.url), prefix="away")
    async with running_channels(broker, Listener()):
        await broker.share_namespaces(namespaces.as_json(), starting=True)
    await asyncio.to_thread(cluster.nodes[gone].kill)

    client = ClientChannels(address, prefix="away", name="client")
    try:
        async with asyncio.timeout(REDIS_DEADLINE_S):
            [name, *_] = names_at(cluster, here, form)
            publisher, presence = await client.publisher(), await client.presence()
            await publisher.publish(name, b'"hello"')
            assert (await presence.stats(name)).clients == 0
    finally:
        await client.aclose()


async def test_a_channel_that_was_left_alone_goes_on_where_its_old_master_has_left(
    cluster: RedisCluster,
) -> None:
    """Nothing of it was lost. Red when who is master no more was lost, whatever became of it; and
    when only those know that it left who saw it: others began another epoch, for everybody.
    """
    broker = ClusterChannelBroker(parse(cluster.url), prefix="left")
    slot = slot_of(keys.channel_messages("left", "room"))
    home, added = cluster.master_of(slot), await asyncio.to_thread(cluster.add)
    masters = broker._nodes.cluster
    async with running_channels(broker, Listener()):
        await asyncio.to_thread(cluster.move, slot, added)
        stored = await broker.publish(Publishing("room", b"1", KEPT))
        assert masters.owner(slot) == ("127.0.0.1", added.port)
        await asyncio.to_thread(cluster.move, slot, home)
        await eventually(lambda: len(masters.masters) == 3, "the map without it", 10)
        await asyncio.to_thread(cluster.remove, added)

        later = ClusterChannelBroker(parse(cluster.url), prefix="left")
        async with running_channels(later, Listener()):
            read = await later.read("room", 0, KEPT)
        assert await broker.read("room", 0, KEPT) == read

    assert read.top == stored.position
    assert [one.payload for one in read.publications] == [b"1"]
