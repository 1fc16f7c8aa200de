"""Clients that go while something is under way for them, and that ask for much at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.protocol.receipt import Receipt
from gateway.protocol.token_claims import ConnectionClaims
from tests.support.waiting import eventually
from tests.unit.edge.sessions.centrifuge.stand import Stand, standing


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as made:
        yield made


def _tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks()]


async def test_a_client_that_closes_while_it_connects_leaves_nothing_behind(stand: Stand) -> None:
    client = stand.socket("ann")
    client.session.claims = ConnectionClaims(user="ann", channels=("seen:a",))
    client.say({"connect": {}})
    client.close(4000, "enough")
    await eventually(lambda: "client request" not in _tasks(), "the end of its connect")
    await stand.presence.settled()

    assert stand.parts.channels.subscriptions == 0
    assert await stand.parts.presence_questions.members("seen:a") == {}


async def test_a_client_that_is_refused_is_in_no_channel(stand: Stand) -> None:
    client, told = stand.socket("ann"), list[object]()
    client.session.claims = ConnectionClaims(user="ann", channels=("nobody:a", "seen:a"))
    client.session.subscribe(client, "b", told.append)
    reply = await client.ask(connect={})
    await stand.presence.settled()

    assert reply["error"]["code"] == 102
    assert told == [Receipt.GONE]
    assert stand.parts.channels.subscriptions == 0
    assert await stand.parts.presence_questions.members("seen:a") == {}


async def test_one_question_of_a_client_is_looked_up_at_a_time(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, going_on = [], asyncio.Event()
    page = stand.parts.publisher.page

    async def slow(channel: str, **bounds: Any) -> Any:
        asked.append(channel)
        await going_on.wait()
        return await page(channel, **bounds)

    monkeypatch.setattr(stand.parts.publisher, "page", slow)
    one, other = await stand.client("ann"), await stand.client("bob")
    for client in (one, other):
        await client.ask(subscribe={"channel": "kept:a"})
    numbers = one.say(*[{"history": {"channel": "kept:a"}}] * 3)
    other.say(*[{"history": {"channel": "kept:a"}}] * 3)
    await eventually(lambda: len(asked) == 2, "a question of each")
    other.close(4000, "enough")
    going_on.set()
    for each in numbers:
        assert "history" in await one.reply(each)
    await eventually(lambda: "client request" not in _tasks(), "the end of all")

    assert len(asked) == 4  # what nobody waits for is not looked up
