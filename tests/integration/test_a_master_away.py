"""What goes on at a worker while a master of the Cluster is away, and has no replica.

A start needs an inbox and a lease; of many things at once only those fail that live at that master,
and what is kept of clients is there when it is.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta

import pytest
from websockets.asyncio.client import connect

import gateway
from gateway import Receipt
from gateway.channel_broker.base import HistoryOptions, Publishing
from gateway.errors import BrokerUnavailable
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.deadlines import AFTER_DRAIN_S, REDIS_DEADLINE_S
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.slots import slot_of
from gateway.settings.config import Settings
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.worker import worker_ids
from gateway.worker.worker_ids import reachable_worker_id
from tests.support.ids import new_worker_id
from tests.support.inprocess import in_process, redis_settings
from tests.support.logs import capture_logs
from tests.support.rawclient import raw_websocket
from tests.support.redis_cluster import (
    ClusterNode,
    Owners,
    RedisCluster,
    frozen,
    masters_alone,
)
from tests.support.waiting import eventually, eventually_async

KEPT = HistoryOptions(10, 60, 60)
PATIENCE_S = 60.0  # for what waits for no master that is away
WORKERS = slot_of(keys.workers(""))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Masters alone: nobody takes over."""
    with masters_alone(tmp_path_factory.mktemp("alone")) as made:
        yield made


@pytest.fixture
def away(cluster: RedisCluster) -> Iterator[ClusterNode]:
    """One that does not keep the leases, and does not answer."""
    node = next(node for node in cluster.nodes if not node.owns(WORKERS))
    with frozen(node):
        yield node


def settings_with_everyone_at(cluster: RedisCluster, node: ClusterNode) -> Settings:
    owners = Owners(cluster)
    prefixes = (f"start{number}" for number in itertools.count())
    prefix = next(prefix for prefix in prefixes if owners.at(node, keys.everyone(prefix)))
    return redis_settings(cluster.url, prefix)


def worker_with_inbox_at(cluster: RedisCluster, node: ClusterNode, prefix: str) -> WorkerId:
    owners = Owners(cluster)
    workers = (new_worker_id() for _ in itertools.count())
    return next(worker for worker in workers if owners.at(node, keys.inbox(prefix, worker)))


async def test_it_needs_nothing_of_the_master_that_is_away(
    cluster: RedisCluster, away: ClusterNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first id it draws has its inbox there, and hints to all workers are there.

    Red when it waits for either; and when what it was refused is not made good.
    """
    settings = settings_with_everyone_at(cluster, away)
    prefix = settings.redis_prefix
    there = worker_with_inbox_at(cluster, away, prefix)
    drawn = itertools.chain([there], (new_worker_id() for _ in itertools.count()))
    monkeypatch.setattr(worker_ids, "new_worker_id", lambda: next(drawn))
    owners = Owners(cluster)
    rooms = [f"room{number}" for number in range(100)]
    room = next(one for one in rooms if owners.at(away, keys.channel_messages(prefix, one)))
    other = next(one for one in rooms if not owners.at(away, keys.channel_messages(prefix, one)))
    with capture_logs() as logs:
        async with (
            in_process(settings) as served,
            connect(served.ws_url, compression=None) as client,
            asyncio.timeout(PATIENCE_S),
        ):
            await client.send("hello")
            assert await client.recv() == "Received:hello"
            assert served.worker.me != there
            channels = served.worker.parts.channel_broker
            await channels.subscribe(other)
            assert (await channels.publish(Publishing(other, b"1", KEPT))).position is not None
            failed = channels.publish(Publishing(room, b"1", KEPT))
            with pytest.raises(BrokerUnavailable):
                await failed
            away.thaw()

            def subscribed() -> bool:
                everyone = keys.everyone(prefix)
                return bool(away.ask("PUBSUB", "SHARDNUMSUB", everyone)[1])

            await eventually(subscribed, "the hints to all", 10)
            await channels.subscribe(room)
            assert (await channels.publish(Publishing(room, b"2", KEPT))).position is not None

    said = {line["event"]: line for line in logs}
    # With any other that was slow just then.
    assert f"127.0.0.1:{away.port}" in said["id chosen for its inbox"]["away"]
    where = f"slot {slot_of(keys.everyone(prefix))} at 127.0.0.1:{away.port}"
    assert said["hints to all workers not subscribed yet"]["where"] == where
    assert "worker not ready yet" not in said


async def test_it_ends_while_no_master_answers(cluster: RedisCluster) -> None:
    """With a client, subscribed channels, and publications under way: nothing of it is waited for
    longer than its supervisor would.

    Red when any of what is asked last has no deadline.
    """
    settings = redis_settings(cluster.url, "ends")
    rooms = [f"room{number}" for number in range(12)]
    with ExitStack() as stack:
        async with in_process(settings) as served:
            async with connect(served.ws_url, compression=None) as client:
                channels = served.worker.parts.channel_broker
                await asyncio.gather(*map(channels.subscribe, rooms))
                for node in cluster.nodes:
                    stack.enter_context(frozen(node))
                failed = [channels.publish(Publishing(room, b"1", KEPT)) for room in rooms]
                await client.send("hello")
                began = time.monotonic()
                served.should_exit = True
                await client.wait_closed()
            await eventually(served.lifespan.shutdown_event.is_set, "its end", 60)
            took_s = time.monotonic() - began
        whys = await asyncio.gather(*failed, return_exceptions=True)

    assert took_s < settings.drain_seconds + AFTER_DRAIN_S
    assert {type(why) for why in whys} == {BrokerUnavailable}


async def test_messages_wait_no_longer_for_a_worker_that_is_not_reached_than_for_redis(
    cluster: RedisCluster, away: ClusterNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two handler workers has its inbox at the master that is away. What it was asked is
    given up with its connection; who comes then is answered by the other one.

    Red when an edge looks at its own way to Redis alone.
    """
    away.thaw()
    monkeypatch.setattr("gateway.cluster.outage.AVOIDED_AFTER_S", 0.5)
    edge_own = redis_settings(cluster.url, "unreached", role="edge", handler_seconds=2.0)
    handler_own = redis_settings(cluster.url, "unreached", role="handler")
    here, there, other = (
        worker_with_inbox_at(cluster, node, "unreached")
        for node in (cluster.master_of(WORKERS), away, cluster.master_of(WORKERS))
    )
    drawn = iter([here, there, other])
    monkeypatch.setattr(worker_ids, "new_worker_id", lambda: next(drawn))
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(in_process(edge_own))
        for _ in range(2):
            await stack.enter_async_context(in_process(handler_own))
        members = edge.worker.parts.members
        await eventually(lambda: {*members.targets} == {there, other}, "both handlers", 10)
        crowd = [await stack.enter_async_context(raw_websocket(edge.port)) for _ in range(16)]
        with frozen(away), capture_logs() as logs:
            for client in crowd:
                client.say("hello")
            async with asyncio.timeout(PATIENCE_S):
                first = await asyncio.gather(*(client.texts(1) for client in crowd))
                ended = [c for c, texts in zip(crowd, first, strict=True) if texts == ["Bye!!!"]]
                closed = {(await client.receive()).closing for client in ended}
            assert first.count(["Received:hello"]) == len(crowd) - len(ended) > 0
            assert closed == {(3004, "broker unavailable")}
            assert members.targets == (other,)
            assert edge.worker.ready
            for _ in range(8):
                client = await stack.enter_async_context(raw_websocket(edge.port))
                client.say("hello")
                assert await client.texts(1) == ["Received:hello"]
        await eventually(lambda: {*members.targets} == {there, other}, "both again", 10)

    lost = {line["where"] for line in logs if "lost its connection" in line["event"]}
    deaf = {line["where"] for line in logs if line["event"] == "subscriber hears nothing"}
    assert lost == deaf == {f"127.0.0.1:{away.port} of the Cluster"}


async def test_a_client_takes_an_inbox_to_which_answers_come(
    cluster: RedisCluster, away: ClusterNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it keeps the first that it draws, which is at the master that is away."""
    settings = redis_settings(cluster.url, "client")
    there = worker_with_inbox_at(cluster, away, settings.redis_prefix)
    drawn = itertools.chain([there], (new_worker_id() for _ in itertools.count()))
    monkeypatch.setattr("gateway.backend_client.client.new_client_id", lambda: next(drawn))
    async with (
        in_process(settings) as served,
        connect(served.ws_url, compression=None) as socket,
        gateway.client(cluster.url, prefix=settings.redis_prefix) as client,
    ):
        [member] = served.worker.parts.hub
        assert await client.send(member.id, "hello") is Receipt.WRITTEN
        assert await socket.recv() == "hello"


async def test_answers_come_to_a_client_whose_inbox_has_gone_away(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when its inbox stays where it was: all was written, and all said UNREACHABLE for ever."""
    settings = redis_settings(cluster.url, "gone")
    owners = Owners(cluster)
    async with in_process(settings) as served, connect(served.ws_url, compression=None):
        [member] = served.worker.parts.hub
        inbox = keys.inbox(settings.redis_prefix, served.worker.me)
        others = [one for one in cluster.nodes if not owners.at(one, inbox)]
        going = min(others, key=lambda node: node.owns(WORKERS))  # not the leases, if need not be
        there = worker_with_inbox_at(cluster, going, settings.redis_prefix)
        drawn = itertools.chain([there], (new_worker_id() for _ in itertools.count()))
        monkeypatch.setattr("gateway.backend_client.client.new_client_id", lambda: next(drawn))
        monkeypatch.setattr("gateway.redis_support.first_answer.PATIENCE_S", 30)
        async with gateway.client(cluster.url, prefix=settings.redis_prefix) as client:
            assert await client.send(member.id, "hello") is Receipt.WRITTEN
            with frozen(going):

                async def written() -> bool:
                    return await client.send(member.id, "hello") is Receipt.WRITTEN

                assert not await written()
                await eventually_async(written, "an answer", 30)


async def test_it_says_what_it_waits_for(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot of the leases cannot be chosen."""
    monkeypatch.setattr("gateway.worker.readiness.START_S", 0.2)
    node = cluster.master_of(WORKERS)
    settings = redis_settings(cluster.url, "leases")
    with capture_logs() as logs, frozen(node):
        async with in_process(settings, wait_ready=False) as served:
            readiness = served.worker.readiness
            await eventually(lambda: "inbox" not in readiness.waits_for, "its inbox", 10)
            assert not readiness.ready
            where = f"slot {WORKERS} at 127.0.0.1:{node.port}"
            assert readiness.waits_for["lease"] == where
            node.thaw()
            await eventually(lambda: readiness.ready, "the leases", 10)
            assert readiness.waits_for == {}

    [late] = [line for line in logs if line["event"] == "worker not ready yet"]
    assert late["waits_for"]["lease"] == where


def test_where_all_answer_the_first_id_will_do(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [new_worker_id() for _ in range(2)]
    monkeypatch.setattr("gateway.redis_support.first_answer.PATIENCE_S", 30)
    monkeypatch.setattr(worker_ids, "new_worker_id", iter(drawn).__next__)

    assert reachable_worker_id(redis_settings(cluster.url, "well")) == drawn[0]


def test_where_nobody_answers_any_id_will_do(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it asks without end: all is to be ready for when Redis is back."""
    monkeypatch.setattr("gateway.redis_support.reachable_inbox.INBOX_CHOICE_S", 0.6)
    settings = redis_settings(cluster.url, "nobody")
    with frozen(cluster.nodes[1]), frozen(cluster.nodes[2]):
        worker_with = worker_with_inbox_at(cluster, cluster.nodes[1], settings.redis_prefix)
        monkeypatch.setattr(worker_ids, "new_worker_id", lambda: worker_with)
        began = time.monotonic()
        assert reachable_worker_id(settings) == worker_with
        assert time.monotonic() - began < 5
        with frozen(cluster.nodes[0]):
            assert reachable_worker_id(settings) == worker_with


async def test_of_many_at_once_only_those_at_that_master_wait(
    cluster: RedisCluster, away: ClusterNode
) -> None:
    """Members come and go, a broadcast reaches channels, and connections are listed.

    Red when one master fails a batch of members whole, or holds it up: who entered elsewhere was
    told after 3 s that it could not.
    """
    kept = Namespaces(ChannelOptions(presence=True, history_size=10, history_ttl=timedelta(60)))
    away.thaw()
    settings = redis_settings(cluster.url, "many", channel=kept)
    owners, rooms = Owners(cluster), [f"room{number}" for number in range(30)]
    there = {room for room in rooms if owners.at(away, keys.channel_messages("many", room))}
    rest = [room for room in rooms if room not in there]
    assert there
    assert rest
    ann, bob = ClientInfo("ann", "1"), ClientInfo("bob", "2")
    async with (
        in_process(settings) as served,
        connect(served.ws_url, compression=None),
    ):
        parts = served.worker.parts
        await asyncio.gather(*(parts.presence.enter(room, ann) for room in rooms))
        with frozen(away):
            entering = {room: parts.presence.enter(room, bob) for room in rooms}
            leaving = {room: parts.presence.leave(room, "1") for room in rooms}
            async with asyncio.timeout(REDIS_DEADLINE_S):
                await asyncio.gather(*(entering[room] for room in rest))
                await asyncio.gather(*(leaving[room] for room in rest))
            began = parts.publisher.broadcast(rooms, b"1")
            async with asyncio.timeout(1.0):
                listed, _ = await parts.registry.page("", limit=10)
                await asyncio.gather(*(began[rooms.index(room)] for room in rest))
            assert len(listed) == 1
            assert not any(
                entering[room].done() and not entering[room].exception() for room in there
            )
        await asyncio.wait(began)
        await parts.stored_presence.settled()
        for room in rooms:
            assert set(await parts.presence_store.members(room)) == {"2"}
