"""What handlers learn of a client of the Centrifuge protocol: of its token, and of its connect."""

from __future__ import annotations

import json
from typing import Any

from gateway import Call, Connection, Gateway, Subscription
from gateway.edge.client_info import MAX_PRESENTED_BYTES
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import (
    PATH,
    CentrifugeClient,
    centrifuge_client,
    centrifuge_socket,
)
from tests.support.inprocess import in_process
from tests.support.rawclient import raw_websocket
from tests.support.tokens import SECRET, token
from tests.support.waiting import eventually

KEY: dict[str, Any] = {"token_hmac_secret_key": Secret(SECRET)}
SHOWN = {"sub": "ann", "info": {"name": "Ann"}, "meta": {"plan": "free", "n": [1, 2]}}


def presented(connection: Connection) -> list[Any]:
    return [connection.user, connection.info, connection.meta, connection.data]


async def test_hooks_see_token_and_connect(settings: MakeSettings) -> None:
    gateway, gone = Gateway(), list[Any]()

    @gateway.on_rpc("who")
    async def who(call: Call) -> list[Any]:
        return presented(call.connection)

    @gateway.on_disconnect
    async def bye(connection: Connection) -> None:
        gone.append(presented(connection))

    expected = ["ann", SHOWN["info"], SHOWN["meta"], {"page": "/"}]
    async with in_process(settings(**KEY), gateway) as served:
        async with centrifuge_client(served.port, token=token(SHOWN), data={"page": "/"}) as client:
            assert (await client.ask(rpc={"method": "who"}))["rpc"]["data"] == expected
        await eventually(lambda: gone, "on_disconnect")

    assert gone == [expected]


async def test_what_is_given_without_a_token_is_seen_as_well(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_rpc("who")
    async def who(call: Call) -> list[Any]:
        return presented(call.connection)

    anybody = settings(**KEY, allow_anonymous_connect_without_token=True)
    async with in_process(anybody, gateway) as served:
        async with centrifuge_client(served.port, data=[1]) as client:
            expected = {"data": [None, None, None, [1]]}
            assert (await client.ask(rpc={"method": "who"}))["rpc"] == expected
        async with centrifuge_socket(served.port) as client:
            client.raw.say('{"id":1,"connect":{"data":1e999}}')  # no number of Python's
            assert (await client.reply_to({"id": 1}))["error"]["code"] == 107


async def test_a_subscription_token_is_seen_by_the_hook_that_decides(
    settings: MakeSettings,
) -> None:
    gateway, seen = Gateway(), list[Any]()

    @gateway.on_subscribe("room:*")
    async def look(subscription: Subscription) -> None:
        seen.append((subscription.token_claims, subscription.data))

    rooms = Namespaces(named={"room": ChannelOptions()})
    async with (
        in_process(settings(**KEY, channel=rooms), gateway) as served,
        centrifuge_client(served.port, token=token(SHOWN)) as client,
    ):
        claims = {"sub": "ann", "channel": "room:1", "of": ["the", "application"]}
        await client.subscribe("room:1", token=token(claims), data={"a": 1})
        await client.subscribe("room:2")

    assert seen == [(claims, {"a": 1}), (None, None)]


async def test_text_sockets_with_a_token_show_it_too(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_connect
    async def let_in(connection: Connection) -> None:
        assert presented(connection) == ["ann", SHOWN["info"], SHOWN["meta"], None]

    @gateway.on_message
    async def who(message: Any) -> str:
        return json.dumps(presented(message.connection))

    async with (
        in_process(settings(**KEY, communicate_token=True), gateway) as served,
        raw_websocket(served.port, authorization=f"Bearer {token(SHOWN)}") as client,
    ):
        client.say("who")
        [answer] = await client.texts(1)

    assert json.loads(answer) == ["ann", SHOWN["info"], SHOWN["meta"], None]


async def test_who_shows_more_than_handlers_can_be_told_is_closed_alone(
    settings: MakeSettings,
) -> None:
    """Red when it is let in: no envelope introduces it, and its worker ended of that."""
    gateway = Gateway()

    @gateway.on_rpc("who")
    async def who(call: Call) -> int:
        return len(call.connection.data) + sum(map(len, call.connection.headers.values()))

    anybody = settings(**KEY, allow_anonymous_connect_without_token=True, message_bytes=1_000_000)
    head = {f"X_{number}": "\u00e9" * 7500 for number in range(8)}  # two bytes each, as UTF-8
    async with in_process(anybody, gateway) as served:
        for size in (MAX_PRESENTED_BYTES - 1, 999_000):  # and two quotes
            async with raw_websocket(served.port, PATH, **head) as raw:
                client = CentrifugeClient(raw)
                client.say({"id": 1, "connect": {"data": "x" * size}})
                assert await client.closed() == (1009, f"over {MAX_PRESENTED_BYTES} bytes")
        async with raw_websocket(served.port, PATH, **head) as raw:
            client = CentrifugeClient(raw)
            await client.connect(data="x" * (MAX_PRESENTED_BYTES - 2))
            shown = (await client.ask(rpc={"method": "who"}))["rpc"]["data"]

    assert shown >= MAX_PRESENTED_BYTES - 2 + 8 * 7500
