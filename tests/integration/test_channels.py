"""Channels between workers: text sockets, what applications publish, and what a break costs."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest

from gateway import (
    BadChannel,
    BrokerUnavailable,
    ChannelLimit,
    Gateway,
    NotAvailable,
    NotRunning,
    Position,
    PublicationTooLarge,
    Published,
    Receipt,
    UnknownChannel,
    UnrecoverablePosition,
    WorkerChannelLimit,
)
from gateway.channel_broker.base import HistoryOptions
from gateway.channels.subscriber import Encoding
from gateway.protocol.channel_steps import Wish
from gateway.protocol.recovery import History
from gateway.protocol.text_endpoint import TRACE_SUBPROTOCOL
from gateway.settings.config import Settings
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.ids import new_connection_id
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.proxy import Proxy
from tests.support.rawclient import raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually
from tests.unit.channels.recording import Recording

ROOM = ChannelOptions(history_size=100, history_ttl=timedelta(minutes=5))
CHANNELS = Namespaces(named=MappingProxyType({"room": ROOM}))


def last_connection(served: InProcess) -> str:
    return [local.id for local in served.worker.parts.hub][-1]


async def publish(served: InProcess, *values: object, channel: str = "room:1") -> list[Published]:
    return [await served.gateway.publish(channel, value) for value in values]


# Text sockets


@pytest.mark.parametrize("asked", [0, 1])
async def test_text_sockets_of_two_workers_are_in_one_channel(
    settings: MakeSettings, asked: int
) -> None:
    async with (
        cluster(settings(channel=CHANNELS), 2) as workers,
        raw_websocket(workers[0].port) as ann,
        raw_websocket(workers[1].port) as bob,
    ):
        for worker in workers:
            receipt = await workers[asked].gateway.subscribe(last_connection(worker), "room:1")
            assert receipt is Receipt.WRITTEN
        published = await publish(workers[asked], "hello", {"n": [1, None]})

        for client in (ann, bob):
            assert await client.texts(2) == ["hello", '{"n":[1,null]}']
        assert [each.offset for each in published] == [1, 2]

        left = await workers[1 - asked].gateway.unsubscribe(last_connection(workers[0]), "room:1")
        await publish(workers[0], "bob alone")
        await workers[0].gateway.send(last_connection(workers[0]), "after it")
        assert left is Receipt.WRITTEN
        assert await ann.texts(1) == ["after it"]
        assert await bob.texts(1) == ["bob alone"]


async def test_publications_of_a_traced_socket_name_their_channel(settings: MakeSettings) -> None:
    headers = {"Sec-WebSocket-Protocol": TRACE_SUBPROTOCOL}
    async with (
        in_process(settings(channel=CHANNELS)) as served,
        raw_websocket(served.port, **headers) as client,
    ):
        await client.texts(1)
        await served.gateway.subscribe(last_connection(served), "room:1")
        await publish(served, "a", {"b": 1})

        assert [json.loads(text) for text in await client.texts(2)] == [
            {"channel": "room:1", "publication": "a"},
            {"channel": "room:1", "publication": {"b": 1}},
        ]


async def test_subscribing_twice_is_once_and_unsubscribing_nothing_is_done(
    settings: MakeSettings,
) -> None:
    async with (
        in_process(settings(channel=CHANNELS)) as served,
        raw_websocket(served.port) as client,
    ):
        app, name = served.gateway, last_connection(served)
        receipts = await asyncio.gather(*(app.subscribe(name, "room:1") for _ in range(5)))
        assert set(receipts) == {Receipt.WRITTEN}
        await publish(served, "once")
        assert await client.texts(1) == ["once"]
        await app.send(name, "after it")
        assert await client.texts(1) == ["after it"]

        assert await app.unsubscribe(name, "room:none") is Receipt.WRITTEN
        with pytest.raises(UnknownChannel, match="there is no namespace 'unknown'"):
            await app.subscribe(name, "unknown:1")


async def test_who_is_not_there_is_in_no_channel(settings: MakeSettings) -> None:
    async with in_process(settings(channel=CHANNELS)) as served:
        gone = new_connection_id(served.worker.me)

        assert await served.gateway.subscribe(gone, "room:1") is Receipt.GONE
        assert await served.gateway.unsubscribe(gone, "room:1") is Receipt.GONE


async def test_a_connection_has_128_channels_and_no_more(settings: MakeSettings) -> None:
    async with cluster(settings(channel=CHANNELS), 2) as workers, raw_websocket(workers[0].port):
        name, app = last_connection(workers[0]), workers[1].gateway
        receipts = await asyncio.gather(*(app.subscribe(name, f"room:{n}") for n in range(128)))
        assert set(receipts) == {Receipt.WRITTEN}

        with pytest.raises(ChannelLimit, match="its owner says channel_limit"):
            await app.subscribe(name, "room:128")


async def test_an_owner_says_that_it_is_the_worker_that_has_no_room(
    settings: MakeSettings,
) -> None:
    served_with = settings(channel=CHANNELS, max_channels=1)
    async with cluster(served_with, 2) as workers, raw_websocket(workers[0].port):
        name, app = last_connection(workers[0]), workers[1].gateway
        assert await app.subscribe(name, "room:1") is Receipt.WRITTEN

        with pytest.raises(WorkerChannelLimit, match="its owner says worker_channel_limit"):
            await app.subscribe(name, "room:2")


async def test_without_redis_a_receipt_says_that_it_may_be_tried_again(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with Proxy(redis_server.port) as proxy:
        through = settings(channel=CHANNELS, redis_url=Secret(proxy.url))
        async with in_process(through) as served, raw_websocket(served.port) as client:
            name = last_connection(served)
            proxy.freeze()
            assert await served.gateway.subscribe(name, "room:1") is Receipt.UNREACHABLE
            proxy.thaw()
            assert await served.gateway.subscribe(name, "room:1") is Receipt.WRITTEN
            await publish(served, "hello")

            assert await client.texts(1) == ["hello"]


async def test_nothing_is_left_of_a_connection_that_has_closed(settings: MakeSettings) -> None:
    async with in_process(settings(channel=CHANNELS)) as served:
        async with raw_websocket(served.port):
            await served.gateway.subscribe(last_connection(served), "room:1")
            assert served.worker.parts.channels.subscriptions == 1
        await eventually(lambda: not served.worker.parts.channels.subscriptions, "its leaving", 5)
        await eventually(lambda: not len(served.worker.parts.channels), "the release", 5)


# What applications publish


async def test_what_is_published_is_kept_as_its_namespace_says(settings: MakeSettings) -> None:
    async with cluster(settings(channel=CHANNELS), 2) as workers:
        app, other = workers[0].gateway, workers[1].gateway
        first = await app.publish("room:1", {"n": 1}, tags={"k": "v"})
        await app.publish("room:1", 2, history=False)
        await other.publish("room:1", 3)
        page = await other.history("room:1")

        assert [(each.offset, each.data, each.tags) for each in page.publications] == [
            (1, {"n": 1}, {"k": "v"}),
            (2, 3, {}),
        ]
        assert (page.offset, page.epoch) == (2, first.epoch)
        [newest] = (await app.history("room:1", limit=1, reverse=True)).publications
        assert newest.data == 3
        [after] = (await app.history("room:1", since=Position(first.epoch, 1))).publications
        assert after.data == 3
        with pytest.raises(UnrecoverablePosition):
            await app.history("room:1", since=Position("another", 1))


async def test_a_number_that_no_float_holds_keeps_nobody_from_reading_the_history(
    settings: MakeSettings,
) -> None:
    async with in_process(settings(channel=CHANNELS)) as served:
        app = served.gateway
        for said in (b'{"x":1e400}', b"1" * 5000, b"7"):
            await app.publish("room:1", msgspec.Raw(said))

        kept = [each.data for each in (await app.history("room:1")).publications]
        assert kept == [{"x": sys.float_info.max}, sys.float_info.max, 7]


async def test_the_same_key_publishes_once_and_an_older_version_not_at_all(
    settings: MakeSettings,
) -> None:
    async with in_process(settings(channel=CHANNELS)) as served:
        app = served.gateway
        first = await app.publish("room:1", 1, idempotency_key="k")
        again = await app.publish("room:1", 1, idempotency_key="k")
        assert (again.offset, again.suppressed) == (first.offset, True)

        await app.publish("room:1", 2, version=7)
        assert (await app.publish("room:1", 3, version=6)).suppressed
        assert [each.data for each in (await app.history("room:1")).publications] == [1, 2]


async def test_what_cannot_be_published_says_why(settings: MakeSettings) -> None:
    async with in_process(settings(channel=CHANNELS)) as served:
        app = served.gateway
        assert await app.publish("news", 1) == Published(0, "")
        with pytest.raises(UnknownChannel):
            await app.publish("unknown:1", 1)
        with pytest.raises(BadChannel):
            await app.subscribe(new_connection_id(), "a\n")
        with pytest.raises(NotAvailable):
            await app.history("news")
        with pytest.raises(ValueError, match="limit=301 is not 0 to 300"):
            await app.history("room:1", limit=301)
        with pytest.raises(ValueError, match="a version needs history"):
            await app.publish("news", 1, version=1)
        with pytest.raises(ValueError, match="idempotency_key is empty"):
            await app.publish("news", 1, idempotency_key="")
        with pytest.raises(ValueError, match="idempotency_key is empty"):
            await app.broadcast(["news"], 1, idempotency_key="")
        with pytest.raises(TypeError):
            await app.publish("news", object())
        with pytest.raises(PublicationTooLarge):
            await app.publish("news", "x" * (64 << 10))
        await app.publish("news", "x" * ((64 << 10) - 2))  # and its quotes


async def test_without_a_broker_channels_are_of_the_one_worker() -> None:
    async with (
        in_process(Settings(channel=CHANNELS, drain_seconds=0.2)) as served,
        raw_websocket(served.port) as client,
    ):
        await served.gateway.subscribe(last_connection(served), "room:1")
        await publish(served, "hello")

        assert await client.texts(1) == ["hello"]


async def test_nothing_is_published_by_a_gateway_that_does_not_run() -> None:
    with pytest.raises(NotRunning):
        await Gateway().publish("news", 1)


# Bad days


async def positioned(served: InProcess, channel: str) -> Recording:
    """Somebody who is told of gaps."""
    subscriber = Recording(new_connection_id(), Encoding.TEXT)
    served.worker.parts.channels.subscribe(subscriber, channel, Wish(positioned=True))
    await eventually(lambda: bool(subscriber.told), "the reply", 5)
    return subscriber


async def test_what_a_worker_has_missed_is_told_and_counted_and_its_sockets_stay(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with Proxy(redis_server.port) as proxy, AsyncExitStack() as stack:
        through = settings(channel=CHANNELS, redis_url=Secret(proxy.url))
        cut_off = await stack.enter_async_context(in_process(through))
        other = await stack.enter_async_context(in_process(settings(channel=CHANNELS)))
        client = await stack.enter_async_context(raw_websocket(cut_off.port))
        await cut_off.gateway.subscribe(last_connection(cut_off), "room:1")
        await cut_off.gateway.subscribe(last_connection(cut_off), "news")
        ann = await positioned(cut_off, "room:1")
        counted = Counted(cut_off)
        await publish(other, "first")
        assert await client.texts(1) == ["first"]

        proxy.cut()
        await publish(other, *range(5))
        proxy.mend()
        await eventually(lambda: ("insufficient", "room:1") in ann.told, "the gap", 10)
        await publish(other, "last")
        assert await client.texts(1) == ["last"]

        assert ann.delivered == [b"first"]
        assert counted("gateway_channel_gaps_total", why="gap") == 1
        assert counted("gateway_channel_gaps_total", why="unknown") == 1


async def test_a_subscription_that_is_killed_and_has_missed_nothing_stays(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with in_process(settings(channel=CHANNELS)) as served:
        ann = await positioned(served, "room:1")
        read = served.worker.parts.channel_broker.read
        told: list[str] = []

        async def reading(channel: str, after: int | None, history: HistoryOptions) -> History:
            found = await read(channel, after, history)
            told.append(channel)
            return found

        served.worker.parts.channel_broker.read = reading  # type: ignore[method-assign]
        with redis_server.client() as redis:
            [mine] = [
                each
                for each in redis.client_list()
                if each["name"].endswith(f"{served.worker.me}.channels.subscribe")
            ]
            redis.client_kill_filter(_id=mine["id"])
        await eventually(lambda: bool(told), "the comparison", 10)
        await publish(served, "still here")
        await eventually(lambda: bool(ann.delivered), "the publication", 5)

        assert ann.delivered == [b"still here"]
        assert ann.told[1:] == []


async def test_a_redis_that_is_away_refuses_who_wants_to_subscribe(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with Proxy(redis_server.port) as proxy:
        through = settings(channel=CHANNELS, redis_url=Secret(proxy.url))
        async with in_process(through) as served, raw_websocket(served.port) as client:
            proxy.cut()
            with pytest.raises(BrokerUnavailable):
                await served.gateway.publish("room:1", 1)
            subscriber = Recording(new_connection_id(), Encoding.TEXT)
            served.worker.parts.channels.subscribe(subscriber, "room:1")
            await eventually(lambda: bool(subscriber.told), "the refusal", 10)
            assert subscriber.told == [("not subscribed", "room:1", BrokerUnavailable)]
            proxy.mend()
            await served.gateway.send(last_connection(served), "still open")
            assert await client.texts(1) == ["still open"]
