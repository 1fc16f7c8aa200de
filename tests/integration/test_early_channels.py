"""Channels that ``on_connect`` names: a client is in them when its handshake is answered."""

from __future__ import annotations

import asyncio

import pytest

from gateway import Admit, Connection, Gateway, Message
from gateway.edge.admission import NO_CHANNELS
from gateway.edge.handshake import Handshake
from gateway.edge.sockets.socket import EXTENSION
from gateway.protocol.text_endpoint import TRACE_SUBPROTOCOL
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import centrifuge_client
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.proxy import Proxy
from tests.support.rawclient import handshake, raw_client, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

CHANNELS = Namespaces(named={"room": ChannelOptions(presence=True)})


class Door:
    """Lets everybody in to these channels, and notes who has gone."""

    def __init__(self, *channels: str) -> None:
        self.gateway = gateway = Gateway()
        self.gone: list[str] = []

        @gateway.on_connect
        async def admit(connection: Connection) -> Admit:
            return Admit("ann", channels=channels)

        @gateway.on_message
        async def say(message: Message) -> None:
            await gateway.publish("room:1", message.text)

        @gateway.on_disconnect
        async def leave(connection: Connection) -> None:
            self.gone.append(connection.id)


async def nothing_is_left(served: InProcess) -> None:
    parts = served.worker.parts
    await eventually(lambda: not parts.channels.subscriptions, "the end of subscriptions", 5)
    await eventually(
        lambda: not (len(parts.presence) or parts.stored_presence.behind), "its leave", 5
    )


async def test_a_client_is_in_its_channels_before_its_first_message(
    settings: MakeSettings,
) -> None:
    served_with = settings(channel=CHANNELS)
    async with (
        in_process(served_with, Door("room:1", "room:2").gateway) as served,
        raw_websocket(served.port) as client,
    ):
        client.say("one", "two")

        assert await client.texts(2) == ["one", "two"]


@pytest.mark.parametrize("plain", [False, True])
async def test_nothing_is_missed_that_is_published_once_the_handshake_is_answered(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, *, plain: bool
) -> None:
    """The other worker publishes the moment that the client has its 101."""
    if plain:
        monkeypatch.setattr("gateway.edge.endpoint.EXTENSION", f"no {EXTENSION}")
    doors = [Door("room:1").gateway for _ in range(2)]
    async with cluster(settings(channel=CHANNELS), 2, doors) as (one, two):
        for number in range(20):
            async with raw_websocket(one.port) as client:
                await two.gateway.publish("room:1", number)

                assert await client.texts(1) == [str(number)]


async def test_what_comes_while_the_handshake_is_answered_is_sent_behind_the_greeting(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Handshake.enter_channels

    async def publishing(self: Handshake, session: object) -> object:
        refusal = await real(self, session)  # type: ignore[arg-type]
        for number in range(3):
            await door.gateway.publish("room:1", number)
        channels = served.worker.parts.channels
        await eventually(lambda: served.worker.parts.counters.deliveries == 3, "the deliveries")
        assert channels.subscriptions == 1
        return refusal

    monkeypatch.setattr(Handshake, "enter_channels", publishing)
    door = Door("room:1")
    headers = {"Sec-WebSocket-Protocol": TRACE_SUBPROTOCOL}
    async with (
        in_process(settings(channel=CHANNELS), door.gateway) as served,
        raw_websocket(served.port, **headers) as client,
    ):
        greeting, *others = await client.texts(4)
        await door.gateway.publish("room:1", "last")
        others += await client.texts(1)

    assert '"worker"' in greeting
    assert others == [
        f'{{"channel":"room:1","publication":{data}}}' for data in ("0", "1", "2", '"last"')
    ]


async def test_more_than_can_be_kept_ends_the_connection(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the bound it goes on, over it it is a slow client."""
    real = Handshake.enter_channels

    async def publishing(self: Handshake, session: object) -> object:
        refusal = await real(self, session)  # type: ignore[arg-type]
        for _ in range(2):
            await door.gateway.publish("room:1", "x" * (size // 2))
        await eventually(lambda: served.worker.parts.counters.deliveries % 2 == 0, "them")
        return refusal

    monkeypatch.setattr(Handshake, "enter_channels", publishing)
    door, limit = Door("room:1"), 1 << 16
    served_with = settings(channel=CHANNELS, outbox_bytes=limit, message_bytes=limit)
    async with in_process(served_with, door.gateway) as served:
        size = limit
        async with raw_websocket(served.port) as client:
            assert [len(text) for text in await client.texts(2)] == [limit // 2] * 2
        size = limit + 2
        async with raw_websocket(served.port) as client:
            [*_, last] = await client.rest()
            assert last.closing[0] == 3008
        await nothing_is_left(served)


async def test_a_channel_that_cannot_be_fails_the_handshake(settings: MakeSettings) -> None:
    door = Door("room:1", "unknown:1")
    async with in_process(settings(channel=CHANNELS), door.gateway) as served:
        response = await handshake(served.port)

        assert (response.status, response.body) == (500, "the application could not decide\n")
        await nothing_is_left(served)
        await eventually(lambda: len(door.gone) == 1, "its on_disconnect")


async def test_a_worker_that_has_no_room_for_its_channels_sends_a_client_elsewhere(
    settings: MakeSettings,
) -> None:
    served_with = settings(channel=CHANNELS, max_channels=1)
    async with in_process(served_with, Door("room:1", "room:2").gateway) as served:
        response = await handshake(served.port)

        assert (response.status, response.headers["retry-after"]) == (503, "1")
        await nothing_is_left(served)


async def test_without_redis_a_client_is_told_to_come_again(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    door = Door("room:1")
    async with Proxy(redis_server.port) as proxy:
        through = settings(channel=CHANNELS, redis_url=Secret(proxy.url))
        async with in_process(through, door.gateway) as served, raw_client(served.port) as client:
            proxy.freeze()
            response = await client.upgrade()
            proxy.thaw()

            assert (response.status, response.headers["retry-after"]) == (503, "1")
            assert response.body == NO_CHANNELS.text + "\n"
            await nothing_is_left(served)
            await eventually(lambda: len(door.gone) == 1, "its on_disconnect", 5)
            async with raw_websocket(served.port) as again:
                again.say("here")
                assert await again.texts(1) == ["here"]


async def test_a_worker_that_leaves_does_not_wait_for_the_channels_of_a_handshake(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_process(settings(channel=CHANNELS), Door("room:1").gateway) as served:
        never = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(served.worker.parts.channel_broker, "subscribe", lambda _: never)
        async with raw_client(served.port) as client:
            answer = asyncio.create_task(client.upgrade())
            parts = served.worker.parts
            await eventually(lambda: parts.channels.subscriptions == 1, "its subscribing", 5)
            draining = asyncio.create_task(served.worker.drain())
            response = await answer
            await draining

        assert response.status == 503
        assert not served.worker.parts.channels.subscriptions


async def test_a_centrifuge_client_is_told_of_its_channels_with_its_connect(
    settings: MakeSettings,
) -> None:
    own = settings(channel=CHANNELS)
    doors = [Door("room:1", "room:2").gateway for _ in range(2)]
    async with cluster(own, 2, doors) as (one, two):
        async with centrifuge_client(one.port) as ann:
            connected = next(message["connect"] for message in ann.seen if "connect" in message)
            assert sorted(connected["subs"]) == ["room:1", "room:2"]
            await two.gateway.publish("room:2", "hello")
            assert (await ann.publication())["data"] == "hello"
            assert list(await two.gateway.presence("room:1")) == [ann.id]
        await nothing_is_left(one)
