"""What the server wants of a client while its connect is answered, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import GatewayError, UnknownChannel
from gateway.protocol.receipt import Receipt
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from tests.unit.edge.sessions.centrifuge.stand import Stand, standing


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as made:
        yield made


class Told(list[Receipt | GatewayError]):
    def __call__(self, what: Receipt | GatewayError) -> None:
        self.append(what)


async def test_what_the_server_wants_while_a_connect_is_answered_is_done_after_it(
    stand: Stand,
) -> None:
    client, told = stand.socket("ann"), Told()
    client.session.subscribe(client, "seen:a", Told())  # others are told first, and that takes time
    [connect] = client.say({"connect": {}})
    while "seen:a" not in client.session.subscriptions:  # noqa: ASYNC110 (each turn counts)
        await asyncio.sleep(0)
    assert not client.sent
    client.session.subscribe(client, "b", told)
    assert list((await client.reply(connect))["connect"]["subs"]) == ["seen:a"]
    await eventually(lambda: bool(told), "the server is told")

    assert told == [Receipt.WRITTEN]
    assert client.pushes("subscribe") == [{}]
    assert client.sent[-1]["push"]["channel"] == "b"


async def test_a_refused_connect_leaves_its_client_in_no_channel(stand: Stand) -> None:
    client, told = stand.socket("ann"), {"nope:x": Told(), "seen:a": Told()}
    for channel, of_channel in told.items():
        client.session.subscribe(client, channel, of_channel)
    reply = await client.ask(connect={})
    await eventually(lambda: all(told.values()), "the server is told")

    assert reply["error"]["code"] == 102
    assert [type(one) for one in told["nope:x"]] == [UnknownChannel]
    assert told["seen:a"] == [Receipt.GONE]
    assert not client.session.subscriptions
    assert not stand.parts.channels.subscriptions


async def test_the_log_says_why_a_client_without_a_token_is_not_let_in() -> None:
    async with standing(allow_anonymous=False) as stand:
        client = stand.socket()
        client.admitted = False
        with capture_logs() as logs:
            client.say({"connect": {}})
            await eventually(lambda: client.closed is not None, "it is closed")

    assert client.closed == (3501, "bad request")
    [refused] = [each for each in logs if each["event"] == "client refused"]
    assert "GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN" in refused["why"]
