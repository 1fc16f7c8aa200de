"""``gateway.client`` and channels: it publishes and subscribes as the workers themselves do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType

import httpx
import pytest

import gateway
from gateway import (
    BadChannel,
    BrokerUnavailable,
    NotAvailable,
    NotRunning,
    Position,
    Receipt,
    UnknownChannel,
)
from gateway.backend_client.asynchronous import AsyncClient
from gateway.channel_broker.redis import RedisChannelBroker
from gateway.channels import shared_namespaces
from gateway.errors import ConfigError
from gateway.presence.base import PresenceStats
from gateway.protocol.channel_messages import ClientInfo
from gateway.settings.config import Settings
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.test_channels import CHANNELS, ROOM, last_connection
from tests.integration.test_http_api import KEY, SHOWN
from tests.support.centrifuge_client import centrifuge_client
from tests.support.ids import new_connection_id
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.rawclient import raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, eventually_async


def client_of(settings: Settings) -> gateway.client:
    return gateway.client(settings.redis_url.reveal(), prefix=settings.redis_prefix)


async def test_what_a_client_publishes_reaches_sockets_of_all_workers_and_is_kept(
    settings: MakeSettings,
) -> None:
    async with (
        cluster(own := settings(channel=CHANNELS), 2) as workers,
        raw_websocket(workers[0].port) as ann,
        raw_websocket(workers[1].port) as bob,
        client_of(own) as client,
    ):
        for worker in workers:
            assert await client.subscribe(last_connection(worker), "room:1") is Receipt.WRITTEN
        first = await client.publish("room:1", "hello", tags={"a": "b"}, idempotency_key="k")
        again = await client.publish("room:1", "hello", idempotency_key="k")
        for socket in (ann, bob):
            assert await socket.texts(1) == ["hello"]
        assert (first.offset, again) == (1, replace(first, suppressed=True))

        assert await client.unsubscribe(last_connection(workers[0]), "room:1") is Receipt.WRITTEN
        await client.publish("room:1", 2)
        assert await bob.texts(1) == ["2"]

        kept = await workers[0].gateway.history("room:1")
        assert [each.data for each in kept.publications] == ["hello", 2]
        assert await client.history("room:1") == kept
        place = Position(kept.epoch, 2)
        assert (await client.history("room:1", since=place, reverse=True)).offset == 2
        await client.remove_history("room:1")
        assert (await client.history("room:1")).publications == []


async def test_a_client_broadcasts_in_one_call(settings: MakeSettings) -> None:
    async with (
        cluster(own := settings(channel=CHANNELS), 2) as workers,
        raw_websocket(workers[0].port) as ann,
        raw_websocket(workers[1].port) as bob,
        client_of(own) as client,
    ):
        await client.subscribe(last_connection(workers[0]), "room:1")
        await client.subscribe(last_connection(workers[1]), "hall")
        names = ["room:1", "none:1", "hall", ""]
        first, *others = await client.broadcast(names, {"n": 1}, idempotency_key="k")
        for socket in (ann, bob):
            assert await socket.texts(1) == ['{"n":1}']
        assert isinstance(first, gateway.Published)
        assert (first.offset, others[1]) == (1, gateway.Published(0, ""))
        assert [type(each) for each in (others[0], others[2])] == [UnknownChannel, BadChannel]
        again = await client.broadcast(names[:1], {"n": 1}, idempotency_key="k")
        assert again == [replace(first, suppressed=True)]


@pytest.mark.parametrize("door", ["client", "http"])
async def test_publications_and_subscriptions_reach_live_sockets_of_both_kinds_elsewhere(
    settings: MakeSettings, door: str
) -> None:
    """A client of the Centrifuge protocol at one worker, a text socket at the other."""
    open_to_all = replace(
        ROOM, allow_subscribe_for_client=True, allow_subscribe_for_anonymous=True, presence=True
    )
    own = settings(
        channel=Namespaces(named=MappingProxyType({"room": open_to_all})),
        allow_anonymous_connect_without_token=True,
        api_keys=Secret(KEY),
    )
    async with (
        cluster(own, 2) as workers,
        centrifuge_client(workers[1].port) as ann,
        raw_websocket(workers[0].port) as bob,
        client_of(own) as client,
        httpx.AsyncClient(base_url=workers[0].url, headers=SHOWN) as http,
    ):
        await ann.subscribe("room:1")

        async def publish(channel: str, data: object) -> None:
            if door == "client":
                await client.publish(channel, data)
            else:
                await http.post(f"/@channels/{channel}", json=data)

        await client.subscribe(last_connection(workers[0]), "room:1")
        await publish("room:1", {"n": 1})
        assert (await ann.publication())["data"] == {"n": 1}
        assert await bob.texts(1) == ['{"n":1}']
        assert (await client.channels()).channels == {"room:1": 2}
        assert ann.id in await client.presence("room:1")
        assert (await client.presence_stats("room:1")).clients == 2

        if door == "client":
            receipt: object = await client.subscribe(ann.id, "room:2")
            assert receipt is Receipt.WRITTEN
        else:
            answer = await http.put(f"/@connections/{ann.id}/channels/room:2")
            assert answer.status_code == 200
        pushed = await ann.push("subscribe")
        assert pushed["channel"] == "room:2"
        await publish("room:2", 2)
        assert (await ann.publication())["data"] == 2
        await client.unsubscribe(ann.id, "room:1")
        assert (await ann.push("unsubscribe"))["channel"] == "room:1"


async def test_presence_is_that_of_the_workers(settings: MakeSettings) -> None:
    channels = Namespaces(ChannelOptions(presence=True))
    async with in_process(own := settings(channel=channels)) as served, client_of(own) as client:
        member = ClientInfo("ann", new_connection_id(served.worker.me))
        await served.worker.parts.presence.enter("hall", member)

        assert {who.user for who in (await client.presence("hall")).values()} == {"ann"}
        assert await client.presence_stats("hall") == PresenceStats(1, 1)
        assert await client.presence_stats("empty") == PresenceStats(0, 0)


async def test_names_and_namespaces_are_checked_as_at_a_worker(settings: MakeSettings) -> None:
    async with (
        in_process(own := settings(channel=CHANNELS)) as served,
        raw_websocket(served.port),
        client_of(own) as client,
    ):
        for channel, error in (("", BadChannel), ("none:1", UnknownChannel)):
            with pytest.raises(error):
                await client.publish(channel, 1)
            with pytest.raises(error):
                await client.subscribe(last_connection(served), channel)
        for asking in (client.history("hall"), client.presence("hall")):
            with pytest.raises(NotAvailable):
                await asking


async def test_nothing_is_published_where_no_worker_has_told_its_namespaces(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_namespaces, "WAIT_S", 0.2)
    own = settings()
    async with client_of(own) as client:
        with pytest.raises(BrokerUnavailable, match="no worker has told which channels keep"):
            await client.publish("hall", 1)


async def test_options_of_a_newer_release_are_an_error_that_says_so(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings()
    with redis_server.client() as redis:
        redis.set(f"{own.redis_prefix}:{{workers}}:namespaces", '{"without_namespace":{"new":1}}')
    async with client_of(own) as client:
        with pytest.raises(ConfigError, match=r"this release does not know.*no option new"):
            await client.publish("hall", 1)


async def test_namespaces_are_told_again_to_a_redis_that_forgot_and_the_last_to_start_counts(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_namespaces, "EVERY_S", 0.05)
    old = settings()
    new = replace(old, channel=CHANNELS)
    after_old_told: list[str | None] = []
    share = RedisChannelBroker.share_namespaces

    async def shared(broker: RedisChannelBroker, said: str, *, starting: bool) -> None:
        await share(broker, said, starting=starting)
        if said == old.channel.as_json():
            after_old_told.append(await broker.shared_namespaces())

    monkeypatch.setattr(RedisChannelBroker, "share_namespaces", shared)
    key = f"{old.redis_prefix}:{{workers}}:namespaces"
    with redis_server.client() as redis:
        async with in_process(old), client_of(old) as client:
            assert (await client.publish("hall", 1)).offset == 0
            async with in_process(new):

                async def known() -> bool:
                    try:
                        return (await client.publish("room:1", 1)).offset > 0
                    except UnknownChannel:
                        return False

                await eventually_async(known, "the client knows the options of the new worker")
                found = len(after_old_told)
                await eventually(lambda: len(after_old_told) > found + 3, "the old one tells more")
                assert set(after_old_told[found + 1 :]) == {CHANNELS.as_json()}
            redis.delete(key)

            async def told() -> bool:
                return bool(redis.get(key))

            await eventually_async(told, "the old worker tells its namespaces again")
            assert 3000 < redis.ttl(key) <= 3600


async def test_a_client_that_uses_no_channels_opens_no_connection_for_them(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    def of_channels() -> list[str]:
        with redis_server.client() as redis:
            names = [each["name"] for each in redis.client_list()]
        return [name for name in names if ".client." in name and ".channels." in name]

    async with in_process(own := settings()), client_of(own) as client:
        await client.send(new_connection_id(), "x")
        assert of_channels() == []
        await client.publish("hall", 1)
        [name] = of_channels()
        assert name.endswith(".publish")


async def test_after_its_end_a_client_publishes_nothing(settings: MakeSettings) -> None:
    async with in_process(own := settings()):
        async with client_of(own) as client:
            await client.publish("hall", 1)
        with pytest.raises(NotRunning, match=r"^this client is closed: "):
            await client.publish("hall", 1)


def use_blocking(settings: Settings, connection: str) -> list[object]:
    with client_of(settings) as client:
        done: list[object] = [
            client.subscribe(connection, "room:1"),
            client.publish("room:1", {"a": 1}).offset,
            client.broadcast(["hall"], {"a": 1}),
            client.history("room:1").offset,
            client.channels("room:*").channels,
            client.unsubscribe(connection, "room:1"),
            client.presence_stats("hall"),
            client.presence("hall"),
        ]
        client.remove_history("room:1")
        return [*done, client.history("room:1").publications]


async def test_the_blocking_client_has_the_same_verbs(settings: MakeSettings) -> None:
    channels = Namespaces(ChannelOptions(presence=True), MappingProxyType({"room": ROOM}))
    own = settings(channel=channels)
    async with in_process(own) as served, raw_websocket(served.port) as ann:
        done = await asyncio.to_thread(use_blocking, own, last_connection(served))

        assert await ann.texts(1) == ['{"a":1}']
        written = Receipt.WRITTEN
        there, members = {"room:1": 1}, PresenceStats(0, 0)
        hall = [gateway.Published(0, "")]
        assert done == [written, 1, hall, 1, there, written, members, {}, []]


# Which channels there are


@pytest.fixture
async def crowded(settings: MakeSettings) -> AsyncIterator[tuple[list[InProcess], AsyncClient]]:
    """Two workers: room:0 to room:4 at both, hall at the first, lobby at the second."""
    async with (
        cluster(own := settings(channel=CHANNELS), 2) as workers,
        raw_websocket(workers[0].port),
        raw_websocket(workers[1].port),
        client_of(own) as client,
    ):
        for worker, alone in zip(workers, ("hall", "lobby"), strict=True):
            for channel in (alone, *(f"room:{n}" for n in range(5))):
                await client.subscribe(last_connection(worker), channel)
        yield workers, client


@pytest.mark.parametrize("asks", ["worker", "client"])
async def test_channels_of_all_workers_are_listed_by_name_with_their_subscribers(
    crowded: tuple[list[InProcess], AsyncClient], asks: str
) -> None:
    workers, client = crowded
    asked = client if asks == "client" else workers[1].gateway

    found = await asked.channels()
    assert found.channels == {"hall": 1, "lobby": 1} | {f"room:{n}": 2 for n in range(5)}
    assert list(found.channels) == sorted(found.channels)
    assert (found.after, found.unanswered) == ("", [])
    assert (await asked.channels("r*[13]")).channels == {"room:1": 2, "room:3": 2}


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
async def test_pages_have_each_channel_once_with_its_whole_number(
    crowded: tuple[list[InProcess], AsyncClient], limit: int
) -> None:
    _, client = crowded
    pages, after = [], ""
    while True:
        page = await client.channels(limit=limit, after=after)
        pages.append(page.channels)
        if not (after := page.after):
            break

    assert all(len(page) <= limit for page in pages)
    assert [name for page in pages for name in page] == list((await client.channels()).channels)
    assert sum(n for page in pages for n in page.values()) == 12


async def test_a_channel_that_everybody_has_left_is_not_listed(
    crowded: tuple[list[InProcess], AsyncClient],
) -> None:
    workers, client = crowded
    for number, channel in ((0, "hall"), (0, "room:0"), (1, "room:0")):
        await client.unsubscribe(last_connection(workers[number]), channel)

    assert (await client.channels("h*")).channels == {}
    assert (await client.channels("[hr]*", limit=1)).channels == {"room:1": 2}


async def test_a_worker_that_does_not_answer_is_named(
    crowded: tuple[list[InProcess], AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, client = crowded
    monkeypatch.setattr("gateway.messaging.requests_to_owners.PATIENCE_S", 0.3)
    monkeypatch.setattr("gateway.channels.lists.AT_ONCE", 0)

    found = await client.channels()

    assert (found.channels, set(found.unanswered)) == ({}, {w.worker.me for w in workers})


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_limit_out_of_bounds_is_refused(settings: MakeSettings, limit: int) -> None:
    async with in_process(own := settings()), client_of(own) as client:
        with pytest.raises(ValueError, match=f"limit={limit} is not 1 to 1000"):
            await client.channels(limit=limit)
        with pytest.raises(ValueError, match="the pattern has 256 characters"):
            await client.channels("x" * 256)
        assert (await client.channels("x" * 255, limit=1000)).channels == {}
