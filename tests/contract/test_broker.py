"""The guarantees of ``gateway.broker.base``, on every implementation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from gateway.broker.base import Broker, Payload, Resync
from gateway.broker.memory import MemoryBroker, MemoryBus
from gateway.broker.redis import RedisBroker
from gateway.broker.redis_cluster import broker_at
from gateway.errors import BrokerUnavailable
from gateway.redis_support.url import parse
from tests.contract.addresses import EVERYWHERE, redis_url
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


class Collector:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.resyncs: list[Resync] = []
        self.raising = False

    def on_deliveries(self, deliveries: Sequence[tuple[str, bytes]]) -> None:
        self.got += deliveries
        if self.raising:
            raise RuntimeError("a receiver with a bug")

    def on_resync(self, resync: Resync) -> None:
        self.resyncs.append(resync)


Running = Callable[[Collector], Awaitable[Broker]]
_names = itertools.count()


def channel() -> str:
    return f"channel-{next(_names)}"


@asynccontextmanager
async def running(broker: Broker, receiver: Collector) -> AsyncIterator[Broker]:
    task = asyncio.create_task(broker.run(receiver))
    try:
        yield broker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=EVERYWHERE)
async def brokers(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """Makes running brokers that can reach each other."""
    async with AsyncExitStack() as stack:
        bus = MemoryBus()
        in_memory = request.param == "memory"
        url = "" if in_memory else await redis_url(request.param, request, stack)

        async def make(receiver: Collector) -> Broker:
            broker = MemoryBroker(bus) if in_memory else broker_at(parse(url))
            await stack.enter_async_context(running(broker, receiver))
            return broker

        yield make


async def publish(broker: Broker, *messages: tuple[str, Payload]) -> list[int]:
    """Publish as soon as the broker is connected."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await broker.publish(messages)
            except BrokerUnavailable:
                await asyncio.sleep(0.005)


async def test_subscribe_returns_only_once_deliveries_will_arrive(brokers: Running) -> None:
    inbox = Collector()
    subscriber, publisher = await brokers(inbox), await brokers(Collector())
    await publish(publisher, ("warm", b"up"))
    names = [channel() for _ in range(20)]

    for name in names:
        await subscriber.subscribe(name)
        await publisher.publish([(name, b"hi")])

    await eventually(lambda: len(inbox.got) == 20, "20 deliveries")
    # Each channel has its own order: of a Cluster each may be at another master.
    assert sorted(inbox.got) == sorted((name, b"hi") for name in names)


async def test_deliveries_of_one_publisher_keep_their_order(brokers: Running) -> None:
    inbox, name = Collector(), channel()
    subscriber, publisher = await brokers(inbox), await brokers(Collector())
    await subscriber.subscribe(name)

    for first in range(0, 500, 50):
        await publish(publisher, *[(name, b"%d" % n) for n in range(first, first + 50)])

    await eventually(lambda: len(inbox.got) == 500, "500 deliveries")
    assert [int(payload) for _, payload in inbox.got] == list(range(500))


async def test_pieces_arrive_as_one(brokers: Running) -> None:
    inbox, name = Collector(), channel()
    subscriber, publisher = await brokers(inbox), await brokers(Collector())
    await subscriber.subscribe(name)
    long = bytes(range(256)) * 1024

    assert await publish(publisher, (name, (b"a", long, b"b")), (name, b"c")) == [1, 1]

    await eventually(lambda: len(inbox.got) == 2, "2 deliveries")
    assert inbox.got == [(name, b"a" + long + b"b"), (name, b"c")]


async def test_what_is_published_quietly_is_in_order_with_the_rest(brokers: Running) -> None:
    inbox, name = Collector(), channel()
    subscriber, publisher = await brokers(inbox), await brokers(Collector())
    await subscriber.subscribe(name)
    await publish(publisher, (name, b"0"))

    reached = []
    for number in range(1, 100):
        payload = b"%d" % number
        if number % 3 == 0 or not publisher.publish_quietly(name, payload):
            reached.append(publisher.publish([(name, payload)]))

    assert await asyncio.gather(*reached) == [[1]] * len(reached)
    await eventually(lambda: len(inbox.got) == 100, "100 deliveries")
    assert [int(payload) for _, payload in inbox.got] == list(range(100))


async def test_publish_says_how_many_it_reached(brokers: Running) -> None:
    one, two = await brokers(Collector()), await brokers(Collector())
    shared, single = channel(), channel()
    await one.subscribe(shared)
    await two.subscribe(shared)
    await two.subscribe(single)

    assert await publish(one, (shared, b""), (single, b""), (channel(), b"")) == [2, 1, 0]


async def test_binary_payloads_arrive_as_they_are(brokers: Running) -> None:
    inbox, name = Collector(), channel()
    broker = await brokers(inbox)
    await broker.subscribe(name)
    payload = bytes(range(256)) * 1024

    await publish(broker, (name, payload))
    await eventually(lambda: broker.connected, "the connections to all")

    await eventually(lambda: inbox.got, "the delivery")
    assert inbox.got == [(name, payload)]


async def test_a_receiver_that_raises_keeps_getting_deliveries(brokers: Running) -> None:
    inbox, name = Collector(), channel()
    inbox.raising = True
    broker = await brokers(inbox)
    await broker.subscribe(name)

    await publish(broker, (name, b"1"))
    await eventually(lambda: len(inbox.got) == 1, "the first delivery")
    await publish(broker, (name, b"2"))

    await eventually(lambda: len(inbox.got) == 2, "the second delivery")


async def test_resubscribing_is_told_with_a_resync(brokers: Running) -> None:
    inbox, name = Collector(), channel()
    broker = await brokers(inbox)
    await broker.subscribe(name)

    broker.resubscribe()

    await eventually(lambda: inbox.resyncs, "a resync")
    assert inbox.resyncs[0].channels == (name,)
    await publish(broker, (name, b"after"))
    await eventually(lambda: inbox.got == [(name, b"after")], "a delivery after the resync")


class TestRedisOnABadDay:
    """What only a server in another process can do to a broker."""

    async def test_a_killed_subscription_is_told_and_made_anew(
        self, redis_server: RedisServer
    ) -> None:
        inbox, name = Collector(), channel()
        async with running(RedisBroker(parse(redis_server.url), name="kill-me"), inbox) as broker:
            await broker.subscribe(name)
            for _ in range(5):
                before = len(inbox.resyncs)
                with redis_server.client() as admin:
                    for client in admin.client_list(_type="pubsub"):
                        if client["name"] == "kill-me.subscribe":
                            admin.client_kill_filter(_id=client["id"])

                def resynced(before: int = before) -> bool:
                    return len(inbox.resyncs) > before

                await eventually(resynced, "a resync")
            await publish(broker, (name, b"after"))
            await eventually(lambda: inbox.got == [(name, b"after")], "a delivery")

    async def test_a_frozen_link_is_noticed_and_told_once_it_is_back(
        self, redis_server: RedisServer
    ) -> None:
        inbox, name = Collector(), channel()
        async with (
            Proxy(redis_server.port) as proxy,
            running(RedisBroker(parse(proxy.url)), inbox) as broker,
        ):
            await broker.subscribe(name)
            await publish(broker, (name, b"before"))
            proxy.freeze()
            with pytest.raises(BrokerUnavailable):
                await broker.publish([(name, b"lost or not")])
            assert not broker.connected
            await eventually(lambda: proxy.accepted >= 4, "new connections", 10)
            proxy.thaw()
            await eventually(lambda: inbox.resyncs, "a resync", 10)
            assert inbox.resyncs[0].gap_s >= 1.0

    async def test_publishing_without_a_server_fails_and_recovers(
        self, own_redis: RedisServer
    ) -> None:
        inbox, name = Collector(), channel()
        async with running(RedisBroker(parse(own_redis.url)), inbox) as broker:
            await broker.subscribe(name)
            own_redis.kill()
            with pytest.raises(BrokerUnavailable):
                await broker.publish([(name, b"nobody")])
            assert not broker.connected
            own_redis.start()
            await publish(broker, (name, b"back"))
            assert broker.connected
            await eventually(lambda: (name, b"back") in inbox.got or inbox.resyncs, "news")

    async def test_what_may_be_lost_though_nobody_waits_for_it_counts_as_a_loss(
        self, own_redis: RedisServer
    ) -> None:
        inbox, name = Collector(), channel()
        async with running(RedisBroker(parse(own_redis.url)), inbox) as broker:
            await broker.subscribe(name)
            await publish(broker, (name, b"told"))
            assert broker.publish_quietly(name, b"quiet")
            await eventually(lambda: (name, b"quiet") in inbox.got, "the delivery")
            assert broker.losses == 0
            own_redis.kill()
            broker.publish_quietly(name, b"perhaps")
            await eventually(lambda: broker.losses, "the loss")
            assert not broker.connected
            assert not broker.publish_quietly(name, b"nowhere")

    @pytest.mark.parametrize("rule", ["+@all", "-client|reply"])
    async def test_who_may_not_leave_out_answers_is_told_of_all(
        self, rule: str, own_redis: RedisServer
    ) -> None:
        with own_redis.client() as admin:
            admin.execute_command("ACL", "SETUSER", "w", "on", ">pw", "&*", "+@all", rule)
        inbox, name = Collector(), channel()
        url = f"redis://w:pw@127.0.0.1:{own_redis.port}/0"
        async with running(RedisBroker(parse(url)), inbox) as broker:
            await broker.subscribe(name)
            await publish(broker, (name, b"told"))
            assert broker.publish_quietly(name, b"quiet") is (rule == "+@all")
            assert await broker.publish([(name, b"told")]) == [1]
            assert broker.losses == 0

    async def test_what_is_published_while_the_loop_is_held_arrives_once_it_is_not(
        self, own_redis: RedisServer
    ) -> None:
        inbox, name = Collector(), channel()
        async with running(RedisBroker(parse(own_redis.url)), inbox) as broker:
            await broker.subscribe(name)
            broker.publish_blocking(name, b"held", deadline_s=5.0)
            await eventually(lambda: (name, b"held") in inbox.got, "the delivery")
            own_redis.kill()
            with pytest.raises(BrokerUnavailable):
                broker.publish_blocking(name, b"nobody", deadline_s=1.0)

    async def test_a_server_that_refuses_to_publish_is_an_error(
        self, own_redis: RedisServer
    ) -> None:
        with own_redis.client() as admin:
            admin.execute_command(
                "ACL", "SETUSER", "reader", "on", ">pw", "&*", "+@all", "-publish"
            )
        url = f"redis://reader:pw@127.0.0.1:{own_redis.port}/0"
        async with running(RedisBroker(parse(url)), Collector()) as broker:
            await broker.subscribe(channel())
            with pytest.raises(BrokerUnavailable, match="publish"):
                await publish_once_connected(broker)
            assert broker.connected


async def publish_once_connected(broker: Broker) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                await broker.publish([("x", b"")])
            except BrokerUnavailable as error:
                if "not connected" not in str(error):
                    raise
                await asyncio.sleep(0.005)
