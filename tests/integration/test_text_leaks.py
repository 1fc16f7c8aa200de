"""What text sockets in channels leave behind: many, cut off, drained. And a Redis that is lost."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sized
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

from gateway import Admit, BrokerUnavailable, Connection, Gateway, Message, Receipt
from gateway.channels.subscriber import Encoding
from gateway.edge.sessions.text_subscriptions import TextChannels, TextSubscription
from gateway.protocol.ids import ConnectionId
from gateway.protocol.run import Run
from gateway.redis_support import keys
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.ids import new_connection_id
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.rawclient import raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, eventually_async

MANY = 2000
AT_ONCE = (
    100  # so many of their members are written well within Redis' deadline, also where it is busy
)
CHANNELS = Namespaces(named={"room": ChannelOptions(presence=True, join_leave=True)})


class Recipient:
    """What stands for one of very many connections."""

    user = "ann"

    def __init__(self, name: ConnectionId) -> None:
        self.id = name
        self.got = 0

    def send_run(self, run: Run) -> None:
        self.got += run.count


def admitting(*channels: str) -> Gateway:
    gateway = Gateway()

    @gateway.on_connect
    async def admit(connection: Connection) -> Admit:
        return Admit("ann", channels=channels)

    @gateway.on_message
    async def ignore(message: Message) -> None: ...

    return gateway


def subscriptions_alive() -> int:
    """In the whole process: other tests may have left some, of workers that were cut short."""
    return sum(type(it) is TextSubscription for it in gc.get_objects())


def nothing(served: InProcess) -> bool:
    parts = served.worker.parts
    return not (
        parts.channels.subscriptions
        or len(parts.channels)
        or len(parts.presence)
        or parts.stored_presence.behind
    )


def told(receipts: Sized, owed: int) -> bool:
    return len(receipts) == owed


def channels_at(redis_server: RedisServer, prefix: str) -> set[str]:
    """Channels of clients with a subscription at Redis."""
    with redis_server.client() as redis:
        found = redis.pubsub_channels(keys.channel_messages(prefix, "*"))
        return {name.decode().rpartition("room:")[2].removesuffix("}") for name in found}


async def crowd(one: InProcess, two: InProcess) -> None:
    """Two thousand connections of one worker come into two channels each, hear, and go."""
    parts = one.worker.parts
    channels = TextChannels(parts.channels, parts.presence)
    receipts: list[object] = []
    many = [Recipient(new_connection_id(one.worker.me)) for _ in range(MANY)]
    for begin in range(0, MANY, AT_ONCE):
        for place in range(begin, begin + AT_ONCE):
            for room in ("room:all", f"room:{place % 50}"):
                channels.subscribe(many[place], Encoding.TEXT, room, receipts.append)
        owed = 2 * (begin + AT_ONCE)
        await eventually(partial(told, receipts, owed), "the receipts", 20)
    assert set(receipts) == {Receipt.WRITTEN}
    assert (await two.gateway.presence_stats("room:all")).clients == MANY
    await two.gateway.publish("room:all", "hello")
    await eventually(lambda: all(each.got == 1 for each in many), "the texts", 10)

    for place, each in enumerate(many):
        if place % 2:
            channels.unsubscribe(each.id, "room:all")
        parts.channels.closed(each.id)
    await eventually(partial(nothing, one), "the end of everything", 20)
    assert (await two.gateway.presence_stats("room:all")).clients == 0


async def test_thousands_that_subscribe_and_close_leave_nothing(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings(channel=CHANNELS)
    gc.collect()
    before = subscriptions_alive()
    async with cluster(own, 2) as (one, two):
        for _ in range(2):
            await crowd(one, two)
            await eventually(
                lambda: not channels_at(redis_server, own.redis_prefix), "UNSUBSCRIBE", 5
            )
        assert subscriptions_alive() <= before


async def test_sockets_that_are_cut_off_leave_nothing(settings: MakeSettings) -> None:
    gc.collect()
    before = subscriptions_alive()
    async with in_process(settings(channel=CHANNELS), admitting("room:1", "room:2")) as served:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(raw_websocket(served.port)) for _ in range(200)
            ]
            assert served.worker.parts.channels.subscriptions == 400
            for client in clients:
                client.abort()
            await eventually(partial(nothing, served), "the end of everything", 15)
        del clients, client
        assert subscriptions_alive() <= before


async def test_a_drained_worker_leaves_no_member_and_no_subscription(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings(channel=CHANNELS)
    gateways = [admitting("room:1", "room:2") for _ in range(2)]
    async with cluster(own, 2, gateways) as (one, two), AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(raw_websocket(one.port))
        assert (await two.gateway.presence_stats("room:1")).clients == 20
        assert channels_at(redis_server, own.redis_prefix) == {"1", "2"}

        await one.worker.drain()

        assert (await two.gateway.presence_stats("room:1")).clients == 0
        assert await two.gateway.presence("room:2") == {}
        await eventually(lambda: not channels_at(redis_server, own.redis_prefix), "no SUBSCRIBE", 5)


async def test_text_sockets_go_on_when_redis_comes_back_empty(
    settings: MakeSettings, tmp_path: Path
) -> None:
    with RedisServer(tmp_path) as redis:
        own = settings(channel=CHANNELS, redis_url=Secret(redis.url))
        gateways = [admitting("room:1") for _ in range(2)]
        async with (
            cluster(own, 2, gateways) as (one, two),
            raw_websocket(one.port) as ann,
            raw_websocket(two.port) as bob,
        ):
            await asyncio.to_thread(redis.kill)
            await eventually(lambda: not two.worker.parts.channel_broker.connected, "the loss", 5)
            await asyncio.to_thread(redis.start)
            heard = asyncio.gather(ann.texts(1), bob.texts(1))
            async with asyncio.timeout(15):
                while not heard.done():
                    with suppress(BrokerUnavailable):
                        await one.gateway.publish("room:1", "again")
                    await asyncio.wait([heard], timeout=0.05)

            assert list(heard.result()) == [["again"], ["again"]]

            async def both_there() -> bool:
                try:
                    return (await two.gateway.presence_stats("room:1")).clients == 2
                except BrokerUnavailable:
                    return False

            await eventually_async(both_there, "their membership", 15)
