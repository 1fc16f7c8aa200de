"""Clients that go while something is under way for them, and that ask for much at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest

from gateway.edge.sessions.centrifuge import subscription
from gateway.errors import BrokerUnavailable
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
    await stand.stored_presence.settled()

    assert stand.parts.channels.subscriptions == 0
    assert await stand.parts.presence_questions.members("seen:a") == {}


async def test_a_client_that_is_refused_is_in_no_channel(stand: Stand) -> None:
    client, told = stand.socket("ann"), list[object]()
    client.session.claims = ConnectionClaims(user="ann", channels=("nobody:a", "seen:a"))
    client.session.subscribe(client, "b", told.append)
    reply = await client.ask(connect={})
    await stand.stored_presence.settled()

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


async def test_a_history_is_read_for_nobody_who_has_gone(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it waits on for room: 20 MB each, of which nobody takes any, and others behind."""
    room, begun, read = asyncio.Event(), list[str](), list[str]()
    page = stand.parts.publisher.page

    async def waiting(channel: str, **bounds: Any) -> Any:
        begun.append(channel)
        await room.wait()
        read.append(channel)
        return await page(channel, **bounds)

    monkeypatch.setattr(stand.parts.publisher, "page", waiting)
    one, other = await stand.client("ann"), await stand.client("bob")
    for client in (one, other):
        await client.ask(subscribe={"channel": "kept:a"})
    one.say(*[{"history": {"channel": "kept:a"}}] * 3)
    [number] = other.say({"history": {"channel": "kept:a"}})
    await eventually(lambda: len(begun) == 2, "a read of each")
    one.close(4000, "enough")
    await eventually(lambda: _tasks().count("client request") == 1, "the end of its questions")
    room.set()

    assert "history" in await other.reply(number)
    assert read == ["kept:a"]


class Fault(Exception):
    """What nobody has expected."""


def _entered(error: BaseException | None) -> asyncio.Future[None]:
    """Entering that has come to this; None: it was cancelled."""
    entering: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if error is None:
        entering.cancel()
    else:
        entering.set_exception(error)
    return entering


@pytest.mark.parametrize("at", ["enter", "entered", "cancelled", "subscribe", "subscribed"])
async def test_whoever_waits_for_one_that_fails_by_a_fault_is_told_and_may_come_again(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise Fault

    client, told = await stand.client("ann"), list[object]()
    with monkeypatch.context() as broken:
        if at == "subscribe":
            broken.setattr(stand.parts.channels, "subscribe", fails)
        elif at == "subscribed":
            broken.setattr(subscription, "subscribe_result", fails)
        elif at == "enter":
            broken.setattr(stand.parts.presence, "enter", fails)
        else:
            ended = _entered(Fault() if at == "entered" else None)
            broken.setattr(stand.parts.presence, "enter", lambda *_: ended)
        client.session.subscribe(client, "seen:a", told.append)
        reply = await client.ask(subscribe={"channel": "seen:a"})
        await eventually(lambda: bool(told), "what came of it")
    assert reply["error"]["code"] == 100
    assert isinstance(told[0], BrokerUnavailable)
    assert not client.session.subscriptions
    assert stand.parts.channels.subscriptions == 0

    assert "subscribe" in await client.ask(subscribe={"channel": "seen:a"})
