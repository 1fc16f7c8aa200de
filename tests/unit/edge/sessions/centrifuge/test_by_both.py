"""A channel to which a client subscribes while the server subscribes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.edge.sessions.centrifuge.untold import MAX_UNTOLD
from gateway.errors import GatewayError
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import Subscribe
from gateway.protocol.hooks import HookKind, HookOutcome, HookResult
from gateway.protocol.receipt import Receipt
from tests.support.waiting import eventually
from tests.unit.edge.sessions.centrifuge.stand import Client, Stand, standing

NO = Error(403, "not you")
FROM_NOWHERE: dict[str, Any] = {
    "channel": "kept:a", "recover": True, "epoch": "other", "offset": 1,
    "flag": Subscribe.REJECT_UNRECOVERED,
}  # fmt: skip


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as made:
        yield made


class Told(list[Receipt | GatewayError]):
    def __call__(self, what: Receipt | GatewayError) -> None:
        self.append(what)


class Undecided:
    """A client whose wish to subscribe to ``a`` waits for a hook."""

    def __init__(self, client: Client) -> None:
        self.client = client
        client.hooks.outcomes[HookKind.SUBSCRIBE, "a"] = NO
        self._decide = client.hooks.undecided = []
        [self._wish] = client.say({"subscribe": {"channel": "a"}})

    async def decide(self, outcome: HookOutcome) -> dict[str, Any]:
        [decide] = self._decide
        decide(outcome)
        return await self.client.reply(self._wish)


async def _by_server(client: Client, channel: str) -> None:
    told = Told()
    client.session.subscribe(client, channel, told)
    await eventually(lambda: bool(told), "the receipt")
    assert told == [Receipt.WRITTEN]


async def test_who_is_refused_knows_of_what_the_server_has_begun_and_leaves_it(
    stand: Stand,
) -> None:
    client = await stand.client("ann")
    wish = Undecided(client)
    await _by_server(client, "a")

    assert (await wish.decide(NO))["error"]["code"] == 403
    assert client.pushes("subscribe") == [{}]
    await client.ask(unsubscribe={"channel": "a"})
    assert stand.parts.channels.subscriptions == 0


@pytest.mark.parametrize("outcome", [NO, HookResult()])
async def test_what_is_published_before_a_client_knows_of_its_channel_comes_behind(
    stand: Stand, outcome: HookOutcome
) -> None:
    """SDKs drop publications of channels of which they have not been told."""
    client = await stand.client("ann")
    wish = Undecided(client)
    await _by_server(client, "a")
    for number in range(3):
        await stand.publish("a", number)
    await client.ask(presence={"channel": "closed:b"})  # another answer changes nothing
    assert client.pushes("pub") == []
    reply = await wish.decide(outcome)
    await stand.publish("a", 3)
    await eventually(lambda: len(client.pushes("pub")) == 4, "all of them")

    told = client.pushes("subscribe")
    assert ("subscribe" in reply) != bool(told)
    assert [push["data"] for push in client.pushes("pub")] == [0, 1, 2, 3]
    first = next(at for at, message in enumerate(client.sent) if "pub" in message.get("push", {}))
    assert reply in client.sent[:first]
    assert not told or {"push": {"channel": "a", "subscribe": {}}} in client.sent[:first]


async def test_who_is_not_told_for_too_much_is_closed(stand: Stand) -> None:
    client = await stand.client("ann")
    wish = Undecided(client)
    await _by_server(client, "a")
    for number in range(MAX_UNTOLD):
        await stand.publish("a", number)
    assert client.closed is None
    await stand.publish("a", "one too many")
    await eventually(lambda: client.closed is not None, "the close")

    assert client.closed == (3010, "insufficient state")
    assert wish.client.pushes("pub") == []


async def test_what_the_server_ends_before_a_hook_decides_has_ended(stand: Stand) -> None:
    client = await stand.client("ann")
    wish = Undecided(client)
    await _by_server(client, "a")
    client.session.unsubscribe(client, "a", Told())

    assert stand.parts.channels.subscriptions == 0
    assert "subscribe" in await wish.decide(HookResult())
    assert client.pushes("unsubscribe") == [{"code": 2000, "reason": "server unsubscribe"}]
    assert stand.parts.channels.subscriptions == 0


async def test_the_server_waits_for_a_client_that_wants_it_otherwise_and_begins_again(
    stand: Stand,
) -> None:
    client, told = await stand.client("ann"), Told()
    [wish] = client.say({"subscribe": FROM_NOWHERE})
    client.session.subscribe(client, "kept:a", told)
    await eventually(lambda: bool(told), "the receipt")

    assert (await client.reply(wish))["error"]["code"] == 112
    assert told == [Receipt.WRITTEN]
    assert len(client.pushes("subscribe")) == 1
    assert client.session.subscriptions["kept:a"].live


async def test_a_client_that_wants_it_otherwise_leaves_the_servers_as_it_is(stand: Stand) -> None:
    client, told = await stand.client("ann"), Told()
    client.session.subscribe(client, "kept:a", told)
    reply = await client.ask(subscribe=FROM_NOWHERE)
    await eventually(lambda: bool(told), "the receipt")

    assert reply["error"]["code"] == 112
    assert told == [Receipt.WRITTEN]
    assert len(client.pushes("subscribe")) == 1
    assert client.session.subscriptions["kept:a"].live
