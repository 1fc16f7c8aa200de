"""``gateway.testing``: several things done with one call, tried without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from gateway import (
    BadChannel,
    Gateway,
    GatewayError,
    NotRunning,
    PublicationTooLarge,
    Published,
    Receipt,
    Sent,
    UnknownChannel,
    arguments,
)
from gateway.channel_broker.base import Stored
from gateway.channels.publisher import MAX_TOGETHER, MAX_TOGETHER_BYTES
from gateway.commands import (
    Broadcast,
    Command,
    Disconnect,
    DisconnectUser,
    Publish,
    Send,
    SendToUser,
    Subscribe,
    Unsubscribe,
    batch,
)
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.testing import (
    Client,
    Disconnected,
    Pushed,
    Subscribed,
    Unsubscribed,
    outbox,
)
from gateway.testing import Published as Taken

NAMESPACES = Namespaces(ChannelOptions(), MappingProxyType({"room": ChannelOptions()}))


@pytest.fixture
def app() -> Gateway:
    gateway = Gateway()

    @gateway.on_connect
    async def enter(connection: Any) -> str:
        return str(connection.query)

    return gateway


async def test_each_command_has_what_its_verb_returns_in_order(app: Gateway) -> None:
    with outbox(app, namespaces=NAMESPACES) as sent:
        ann, ben = Client(app, query="ann"), Client(app, query="ben")
        for client in (ann, ben):
            await client.connect()
        here, there = ann.connection.id, ben.connection.id
        await app.subscribe(here, "hall")
        sent.taken.clear()
        done = await app.batch([
            Publish("hall", {"n": 1}, tags={"by": "app"}, idempotency_key="k"),
            Publish("none:1", 1),
            Publish("", 1),
            Publish("hall", "x" * 70_000),
            Publish("hall", object()),
            Broadcast(["hall", "none:1"], 2),
            Broadcast(["hall"], msgspec.Raw(b"no JSON")),
            Send(here, "three", key="k"),
            SendToUser("ben", "four"),
            SendToUser("nobody", "five"),
            Subscribe(there, "room:1"),
            Subscribe(there, "none:1"),
            Unsubscribe(here, "hall"),
            Disconnect(here, 4001, "bye"),
            DisconnectUser("ben"),
        ])  # fmt: skip

    one, unknown, bad, large, unsayable, both, no_json = done[:7]
    assert one == Published(0, "")
    assert [type(each) for each in (unknown, bad, large, unsayable, no_json)] == [
        UnknownChannel,
        BadChannel,
        PublicationTooLarge,
        TypeError,
        ValueError,
    ]
    assert str(unsayable).startswith("data cannot be said in JSON")
    assert isinstance(both, list)
    assert [type(each) for each in both] == [Published, UnknownChannel]
    receipts, refused = done[7:11], done[11]
    assert receipts == [Receipt.WRITTEN, [Sent(there, Receipt.WRITTEN)], [], Receipt.WRITTEN]
    assert isinstance(refused, UnknownChannel)
    assert done[12:] == [Receipt.WRITTEN, Receipt.WRITTEN, [Sent(there, Receipt.WRITTEN)]]
    assert [each for each in sent.taken if not isinstance(each, Taken)] == [
        Pushed(here, "three"),
        Subscribed(there, "room:1"),
        Subscribed(there, "none:1"),
        Unsubscribed(here, "hall"),
        Disconnected(here, 4001, "bye"),
        Pushed(there, "four"),  # once it is known whom to send it
        Disconnected(there, 3503, "disconnected"),
    ]
    assert [each for each in sent.taken if isinstance(each, Taken)] == [
        Taken("hall", {"n": 1}, {"by": "app"}),
        Taken("hall", 2),
    ]
    assert (ann.closed, ben.closed) == ((4001, "bye"), (3503, "disconnected"))
    assert ann.received[-1] == "three"


async def test_of_nothing_nothing_comes(app: Gateway) -> None:
    with outbox(app) as sent:
        assert await app.batch([]) == []
        assert await app.batch(()) == []
    assert sent.taken == []


def too_many() -> list[Command]:
    return [Broadcast(["hall"] * (MAX_TOGETHER - 1), 1), Send("nobody", "x"), Send("nobody", "x")]


def too_much() -> list[Command]:
    return [Broadcast(["hall"] * 100, "x" * (MAX_TOGETHER_BYTES // 100)), Send("nobody", "x")]


@pytest.mark.parametrize(
    ("commands", "error", "words"),
    [
        (too_many, ValueError, "1001 at once are over the limit of 1000"),
        (too_much, ValueError, "at once"),
        (lambda: Send("nobody", "x"), TypeError, "commands is Send, not a list of gateway.comm"),
        (lambda: (each for each in too_many()), TypeError, "commands is generator, not a list"),
        (lambda: "publish", TypeError, "commands is str, not a list of gateway.commands"),
        (lambda: [Send("n", "x"), {"send": {}}], TypeError, r"commands\[1\] is dict, not one of"),
        (lambda: [None], TypeError, r"commands\[0\] is NoneType, not one of gateway.commands"),
    ],
)
async def test_of_what_is_no_batch_nothing_is_done(
    app: Gateway, commands: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with outbox(app) as sent, pytest.raises(error, match=words):
        await app.batch(commands())
    assert sent.taken == []


async def test_outside_of_the_block_a_batch_needs_a_worker(app: Gateway) -> None:
    for command in (Publish("hall", 1), Send("nobody", "x")):
        with pytest.raises(NotRunning):
            await app.batch([command])


async def test_what_fails_in_no_word_of_ours_takes_no_other_command(app: Gateway) -> None:
    with outbox(app) as sent:
        sent.send = broken  # type: ignore[method-assign]
        failed, written = await app.batch([Send("nobody", "x"), Disconnect("nobody")])

    assert isinstance(failed, RuntimeError)
    assert written is Receipt.WRITTEN


async def broken(*_: object, **__: object) -> Any:
    raise RuntimeError


async def test_who_asks_may_go_and_nothing_is_taken_back(app: Gateway) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    written: list[str] = []

    async def slow(connection: str, text: str, *, key: str | None = None) -> Receipt:
        written.append(text)
        begun.set()
        await go.wait()
        return Receipt.WRITTEN

    with outbox(app) as sent:
        sent.send = slow  # type: ignore[method-assign]
        asking = asyncio.create_task(app.batch([Send("nobody", "x"), Publish("hall", 1)]))
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    assert written == ["x"]
    assert sent.taken == [Taken("hall", 1)]


async def test_what_is_broken_off_of_a_batch_has_a_result_of_its_own(app: Gateway) -> None:
    """Red when its cancellation is taken for the batch's: nothing is told of what others did."""
    with outbox(app) as sent:
        send = sent.send

        async def broken_off(connection: str, text: str, *, key: str | None = None) -> Receipt:
            if text == "broken off":
                raise asyncio.CancelledError
            return await send(connection, text, key=key)

        sent.send = broken_off  # type: ignore[method-assign]
        first, second, third = await app.batch(
            [Send("c", "one"), Send("c", "broken off"), Send("c", "three")]
        )

    assert (first, third) == (Receipt.WRITTEN, Receipt.WRITTEN)
    assert type(second) is GatewayError
    assert "may have been done" in str(second)


async def test_what_is_broken_off_of_a_broadcast_has_a_result_of_its_own(
    app: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when its cancellation is taken for that of the call."""
    broadcast = batch.broadcast

    def with_one_broken_off(*parts: Any) -> list[asyncio.Future[Stored]]:
        first, second = broadcast(*parts)
        second.cancel()
        return [first, second]

    monkeypatch.setattr(batch, "broadcast", with_one_broken_off)
    with outbox(app, namespaces=NAMESPACES):
        first, second = await app.broadcast(["hall", "room:1"], 1)

    assert isinstance(first, Published)
    assert type(second) is GatewayError


async def test_a_batch_that_is_cancelled_tells_of_nothing(app: Gateway) -> None:
    with outbox(app) as sent:
        begun = asyncio.Event()

        async def never(connection: str, text: str, *, key: str | None = None) -> Receipt:
            begun.set()
            await asyncio.Event().wait()
            return Receipt.WRITTEN

        sent.send = never  # type: ignore[method-assign]
        running = asyncio.create_task(app.batch([Send("c", "one")]))
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_what_a_batch_publishes_has_been_checked_where_it_was_made(
    app: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when its arguments are looked through once more as its data becomes JSON; and the command
    of who asks has its data afterwards.
    """
    one, several = Publish("hall", {"n": 1}, tags={"by": "app"}), Broadcast(["hall"], [2])
    checked: list[str] = []

    def check(name: str, value: bool) -> bool:
        checked.append(name)
        return value

    monkeypatch.setattr(arguments, "switch", check)
    with outbox(app):
        done = await app.batch([one, several])

    assert done == [Published(0, ""), [Published(0, "")]]
    assert checked == []
    assert (one.data, several.data) == ({"n": 1}, [2])
