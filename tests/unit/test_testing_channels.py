"""``gateway.testing``: what an application does to channels, tried without a worker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from gateway import (
    Admit,
    BadChannel,
    ChannelLimit,
    Connection,
    Gateway,
    Message,
    NotAvailable,
    NotRunning,
    Receipt,
    UnknownChannel,
)
from gateway import Published as PublishedThere
from gateway.presence.base import PresenceStats
from gateway.settings.config import Settings
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.testing import Client, Published, Subscribed, Unsubscribed, outbox

KEPT = ChannelOptions(presence=True, history_size=9, history_ttl=timedelta(hours=1))
EVERYTHING = Namespaces(KEPT, MappingProxyType({"room": KEPT}))


@pytest.fixture
def chat() -> Gateway:
    """Who connects is in ``lobby``; ``join X``, ``leave X``, and else it is said in room:1."""
    app = Gateway()

    @app.on_connect
    async def enter(connection: Connection) -> Admit:
        return Admit(connection.query, channels=["lobby"])

    @app.on_message
    async def say(message: Message) -> None:
        verb, _, name = message.text.partition(" ")
        if verb == "join":
            await app.subscribe(message.connection.id, name)
        elif verb == "leave":
            await app.unsubscribe(message.connection.id, name)
        else:
            await app.publish("room:1", {"said": message.text}, tags={"by": "chat"})

    return app


async def test_clients_get_what_is_published_where_they_are_subscribed(chat: Gateway) -> None:
    with outbox(chat, namespaces=EVERYTHING) as sent:
        ann, ben = Client(chat, query="ann"), Client(chat, query="ben")
        for client in (ann, ben):
            await client.connect()
            await client.send("join room:1")
        await ann.send("hello")
        await ben.send("leave room:1")
        await ann.send("alone")
        await chat.publish("lobby", "grüße")

    assert ann.received == ['{"said":"hello"}', '{"said":"alone"}', "grüße"]
    assert ben.received == ['{"said":"hello"}', "grüße"]
    assert sent.taken == [
        Subscribed(ann.connection.id, "room:1"),
        Subscribed(ben.connection.id, "room:1"),
        Published("room:1", {"said": "hello"}, {"by": "chat"}),
        Unsubscribed(ben.connection.id, "room:1"),
        Published("room:1", {"said": "alone"}, {"by": "chat"}),
        Published("lobby", "grüße"),
    ]


async def test_a_broadcast_reaches_whoever_is_in_its_channels(chat: Gateway) -> None:
    with outbox(chat, namespaces=Namespaces()) as sent:
        ann = Client(chat, query="ann")
        await ann.connect()
        done = await chat.broadcast(["lobby", "none:1", "hall"], {"n": 1}, tags={"by": "chat"})

    assert [type(each) for each in done] == [PublishedThere, UnknownChannel, PublishedThere]
    assert ann.received == ['{"n":1}']
    assert sent.taken == [
        Published("lobby", {"n": 1}, {"by": "chat"}),
        Published("hall", {"n": 1}, {"by": "chat"}),
    ]
    with pytest.raises(TypeError, match="one str"), outbox(chat):
        await chat.broadcast("lobby", 1)


async def test_history_presence_and_the_list_are_there(chat: Gateway) -> None:
    with outbox(chat, namespaces=EVERYTHING):
        ann, ben = Client(chat, query="ann"), Client(chat, query="ben")
        for client in (ann, ben):
            await client.connect()
        await ann.send("join room:1")
        first = await chat.publish("room:1", 1, idempotency_key="k")
        again = await chat.publish("room:1", 1, idempotency_key="k")

        assert (first.offset, again.offset, again.suppressed) == (1, 1, True)
        assert [each.data for each in (await chat.history("room:1")).publications] == [1]
        assert ann.received == ["1"]
        members = await chat.presence("lobby")
        assert {who.user for who in members.values()} == {"ann", "ben"}
        assert (await chat.channels()).channels == {"lobby": 2, "room:1": 1}
        page = await chat.channels("*o*", limit=1)
        assert (page.channels, page.after) == ({"lobby": 2}, "lobby")

        await ben.disconnect()
        assert await chat.presence_stats("lobby") == PresenceStats(1, 1)
        await chat.publish("lobby", "late")
        assert ben.received == []


async def test_what_is_wrong_is_refused_as_by_a_worker(chat: Gateway) -> None:
    quiet = Namespaces(ChannelOptions(history_size=1, history_ttl=timedelta(seconds=9)))
    with outbox(chat, namespaces=quiet) as sent:
        ann = Client(chat, query="ann")
        await ann.connect()
        with pytest.raises(BadChannel):
            await chat.publish("", 1)
        with pytest.raises(UnknownChannel):
            await ann.send("join none:1")
        with pytest.raises(NotAvailable):
            await chat.presence("lobby")
        for n in range(127):
            await ann.send(f"join {n}")
        with pytest.raises(ChannelLimit):
            await ann.send("join 127")
    assert not any(isinstance(each, Published) for each in sent.taken)


async def test_whom_nobody_reaches_is_not_subscribed(chat: Gateway) -> None:
    with outbox(chat, Receipt.UNREACHABLE, namespaces=EVERYTHING) as sent:
        ann = Client(chat, query="ann")
        await ann.connect()
        await ann.send("join room:1")
        await ann.send("hello")
        sent.receipt = Receipt.WRITTEN
        assert (await chat.channels("room:*")).channels == {}
    assert ann.received == []


async def test_outside_of_the_block_channels_need_a_worker(chat: Gateway) -> None:
    with outbox(chat):
        pass
    with pytest.raises(NotRunning):
        await chat.publish("lobby", 1)
    with pytest.raises(NotRunning):
        await chat.channels()


async def test_a_namespace_that_is_not_set_up_is_none_in_a_test_either(
    chat: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Red while every channel was one: what passed in tests was an error of every worker."""
    with outbox(chat):
        for verb in (chat.publish("room:1", 1), chat.presence("room:1"), chat.history("room:1")):
            with pytest.raises(
                UnknownChannel, match=r"no namespace 'room'.*outbox\(gateway, names"
            ):
                await verb
        with pytest.raises(UnknownChannel):
            await chat.subscribe("connection", "room:1")
        [unknown] = await chat.broadcast(["room:1"], 1)
        assert isinstance(unknown, UnknownChannel)
        with pytest.raises(NotAvailable):
            await chat.history("lobby")
        with pytest.raises(NotAvailable):
            await chat.presence("lobby")

    (tmp_path / "gateway.toml").write_text('[[channel.namespaces]]\nname = "room"\npresence = true')
    monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.toml"))
    with outbox(chat):
        assert await chat.presence("room:1") == {}
        with pytest.raises(UnknownChannel):
            await chat.publish("rooms:1", 1)


async def test_the_settings_of_a_gateway_are_those_of_its_tests() -> None:
    app = Gateway(Settings(channel=EVERYTHING))
    with outbox(app):
        assert (await app.publish("room:1", 1)).offset == 1
    with outbox(app, namespaces=Namespaces()), pytest.raises(UnknownChannel):
        await app.publish("room:1", 1)
