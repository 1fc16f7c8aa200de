"""What clients ask for, and are told: one worker, without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.edge.sessions.centrifuge import asking
from gateway.errors import GatewayError
from gateway.protocol.centrifuge.refusals import LIMITS
from gateway.protocol.json_depth import MAX_DEPTH
from gateway.protocol.receipt import Receipt
from tests.support.waiting import eventually
from tests.unit.edge.sessions.centrifuge.stand import Stand, standing
from tests.unit.protocol.test_json_depth import nested


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as made:
        yield made


class Told(list[Receipt | GatewayError]):
    def __call__(self, what: Receipt | GatewayError) -> None:
        self.append(what)


# Subscribing


async def test_a_subscriber_is_sent_what_is_published_after_its_reply(stand: Stand) -> None:
    client = await stand.client("ann")
    subscribe, publish, history = client.say(
        {"subscribe": {"channel": "kept:a"}},
        {"publish": {"channel": "kept:a", "data": {"n": 1}}},
        {"history": {"channel": "kept:a", "limit": 10}},
    )
    assert "subscribe" in await client.reply(subscribe)
    assert (await client.reply(publish))["publish"] == {}
    await eventually(lambda: client.pushes("pub"), "the publication")

    info = {"user": "ann", "client": client.id}
    assert client.pushes("pub") == [{"data": {"n": 1}, "info": info, "offset": 1}]
    assert client.sent.index(await client.reply(subscribe)) == 1
    told = (await client.reply(history))["history"]
    assert told["offset"] in (0, 1)


async def test_without_history_nobody_is_positioned(stand: Stand) -> None:
    client = await stand.client()
    reply = await client.ask(
        subscribe={"channel": "a", "positioned": True, "recoverable": True, "recover": True}
    )

    assert reply["subscribe"] == {}


async def test_positioned_and_recoverable_are_told_with_the_top(stand: Stand) -> None:
    await stand.publish("kept:a", 1)
    client = await stand.client()
    result = (await client.ask(subscribe={"channel": "kept:a", "recoverable": True}))["subscribe"]

    assert result.pop("epoch")
    assert result == {"recoverable": True, "offset": 1, "positioned": True}


async def test_what_was_missed_is_recovered(stand: Stand) -> None:
    client = await stand.client()
    first = (await client.ask(subscribe={"channel": "kept:a", "recoverable": True}))["subscribe"]
    for number in range(1, 4):
        await stand.publish("kept:a", number)
    other = await stand.client()
    result = (
        await other.ask(
            subscribe={
                "channel": "kept:a",
                "recoverable": True,
                "recover": True,
                "offset": 1,
                "epoch": first["epoch"],
            }
        )
    )["subscribe"]

    assert result["recovered"]
    assert result["was_recovering"]
    assert result["offset"] == 1
    assert result["publications"] == [{"data": 2, "offset": 2}, {"data": 3, "offset": 3}]


@pytest.mark.parametrize(("flag", "code"), [(1, None), (2, 112), (3, 112)])
async def test_what_cannot_be_recovered_is_said(stand: Stand, flag: int, code: int | None) -> None:
    await stand.publish("kept:a", 1)
    client = await stand.client()
    request = {"channel": "kept:a", "recover": True, "epoch": "other", "offset": 1, "flag": flag}
    reply = await client.ask(subscribe=request)

    if code is None:
        result = reply["subscribe"]
        assert result["was_recovering"]
        assert "recovered" not in result
        assert "publications" not in result
    else:
        assert reply["error"]["code"] == code
        assert stand.parts.channels.subscribers_of("kept:a") == 0


@pytest.mark.parametrize(
    ("channel", "code"),
    [("closed:a", 103), ("$a", 103), ("nobody:a", 102), ("ü", 107), ("a" * 256, 107)],
)
async def test_what_is_refused(stand: Stand, channel: str, code: int) -> None:
    client = await stand.client("ann")

    assert (await client.ask(subscribe={"channel": channel}))["error"]["code"] == code


async def test_a_name_of_255_bytes_is_taken(stand: Stand) -> None:
    client = await stand.client()

    assert "subscribe" in await client.ask(subscribe={"channel": "a" * 255})


async def test_a_connection_has_128_channels_at_most(stand: Stand) -> None:
    client = await stand.client()
    numbers = client.say(*({"subscribe": {"channel": f"c{n}"}} for n in range(129)))
    replies = [await client.reply(number) for number in numbers]

    assert all("subscribe" in reply for reply in replies[:128])
    assert replies[128]["error"]["code"] == 106


async def test_a_worker_has_so_many_channels_at_most() -> None:
    async with standing(max_channels=2) as stand:
        client = await stand.client()
        replies = [await client.ask(subscribe={"channel": name}) for name in ("a", "b", "c")]

        assert [reply.get("error", {}).get("code") for reply in replies] == [None, None, 106]


async def test_after_unsubscribing_nothing_comes(stand: Stand) -> None:
    client, other = await stand.client(), await stand.client()
    for each in (client, other):
        await each.ask(subscribe={"channel": "a"})
    await client.ask(unsubscribe={"channel": "a"})
    await stand.publish("a", 1)
    await eventually(lambda: other.pushes("pub"), "the publication")

    assert client.pushes("pub") == []


async def test_who_has_missed_something_is_unsubscribed_with_2500(stand: Stand) -> None:
    client = await stand.client()
    await client.ask(subscribe={"channel": "kept:a", "positioned": True})
    client.session.insufficient("kept:a")

    assert client.pushes("unsubscribe") == [{"code": 2500, "reason": "insufficient state"}]
    assert "kept:a" not in client.session.subscriptions
    assert "subscribe" in await client.ask(subscribe={"channel": "kept:a", "positioned": True})


async def test_a_client_that_closes_leaves_nothing_behind(stand: Stand) -> None:
    client = await stand.client("ann")
    for channel in ("a", "kept:a", "seen:a"):
        await client.ask(subscribe={"channel": channel})
    client.close(4000, "enough")
    await stand.stored_presence.settled()

    assert stand.parts.channels.subscriptions == 0
    assert await stand.parts.presence_questions.members("seen:a") == {}


async def test_a_client_that_closes_while_it_subscribes_leaves_nothing_behind(
    stand: Stand,
) -> None:
    client = await stand.client("ann")
    client.say({"subscribe": {"channel": "seen:a"}})
    client.close(4000, "enough")
    await stand.stored_presence.settled()

    assert stand.parts.channels.subscriptions == 0
    assert await stand.parts.presence_questions.members("seen:a") == {}


# Publishing and asking


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"publish": {"channel": "kept:a", "data": 1}}, 103),
        ({"publish": {"channel": "kept:a"}}, 107),
        ({"publish": {"channel": "nobody:a", "data": 1}}, 102),
        ({"publish": {"channel": "kept:a", "data": "x" * 65535}}, 106),
        ({"history": {"channel": "kept:a"}}, 103),
        ({"history": {"channel": "a"}}, 108),
        ({"presence": {"channel": "a"}}, 108),
        ({"presence": {"channel": "seen:a"}}, 103),
        ({"presence_stats": {"channel": "seen:a"}}, 103),
        ({"rpc": {"method": "m"}}, 108),
        ({"sub_refresh": {"channel": "a", "token": "t"}}, 103),
    ],
)
async def test_who_has_not_subscribed_is_refused(
    stand: Stand, request_: dict[str, Any], code: int
) -> None:
    client = await stand.client("ann")

    assert (await client.ask(**request_))["error"]["code"] == code


async def test_a_publication_of_64_kib_is_taken(stand: Stand) -> None:
    client = await stand.client()
    await client.ask(subscribe={"channel": "a"})

    assert "publish" in await client.ask(publish={"channel": "a", "data": "x" * 65534})


async def test_a_publication_that_is_nested_too_deeply_is_not(stand: Stand) -> None:
    """Red while it is taken: who has the history read could not."""
    client = await stand.client()
    await client.ask(subscribe={"channel": "a"})

    for within in (1, "x" * 60_000, "{[" * 500):
        deepest = nested(MAX_DEPTH, within)
        assert "publish" in await client.ask(publish={"channel": "a", "data": deepest})
        refused = await client.ask(publish={"channel": "a", "data": [deepest]})
        assert refused["error"]["code"] == 107


async def test_history_is_read_in_pages(stand: Stand) -> None:
    for number in range(1, 6):
        await stand.publish("kept:a", number)
    client = await stand.client()
    await client.ask(subscribe={"channel": "kept:a"})

    async def numbers(**request: Any) -> list[int]:
        reply = await client.ask(history={"channel": "kept:a", **request})
        assert reply["history"]["offset"] == 5
        return [publication["data"] for publication in reply["history"]["publications"]]

    assert await numbers() == []
    assert await numbers(limit=2) == [1, 2]
    assert await numbers(limit=-1) == [1, 2, 3, 4, 5]
    assert await numbers(limit=2, since={"offset": 3}) == [4, 5]
    assert await numbers(limit=2, reverse=True) == [5, 4]
    other = await client.ask(history={"channel": "kept:a", "since": {"offset": 1, "epoch": "x"}})
    assert other["error"]["code"] == 112


async def test_who_is_present(stand: Stand) -> None:
    ann, bob = await stand.client("ann"), await stand.client("bob")
    for each in (ann, bob):
        await each.ask(subscribe={"channel": "seen:a"})
    presence = (await ann.ask(presence={"channel": "seen:a"}))["presence"]["presence"]
    stats = (await ann.ask(presence_stats={"channel": "seen:a"}))["presence_stats"]

    assert presence == {
        ann.id: {"user": "ann", "client": ann.id},
        bob.id: {"user": "bob", "client": bob.id},
    }
    assert stats == {"num_clients": 2, "num_users": 2}


async def test_joins_and_leaves_are_told_to_whom_they_may_be(stand: Stand) -> None:
    asking, silent = await stand.client("ann"), await stand.client("bob")
    await asking.ask(subscribe={"channel": "seen:a", "join_leave": True})
    await silent.ask(subscribe={"channel": "seen:a"})
    await silent.ask(unsubscribe={"channel": "seen:a"})
    await eventually(lambda: asking.pushes("leave"), "the leave")

    assert [join["info"]["user"] for join in asking.pushes("join")] == ["ann", "bob"]
    assert [leave["info"]["user"] for leave in asking.pushes("leave")] == ["bob"]
    assert silent.pushes("join") == []


async def test_joins_are_told_to_all_where_the_namespace_says_so(stand: Stand) -> None:
    client = await stand.client("ann")
    [number] = client.say({"subscribe": {"channel": "told:a"}})
    await eventually(lambda: client.pushes("join"), "its own join")

    reply = await client.reply(number)
    kinds = [next(iter(message.get("push", {"id": 0}))) for message in client.sent]
    assert "subscribe" in reply
    assert client.sent.index(reply) < len(kinds) - 1


# What the server wants


async def test_the_server_subscribes_a_connected_client(stand: Stand) -> None:
    client, told = await stand.client(), Told()
    client.session.subscribe(client, "closed:a", told)
    await eventually(lambda: bool(told), "the receipt")
    await stand.publish("closed:a", 1)
    await eventually(lambda: client.pushes("pub"), "the publication")

    assert told == [Receipt.WRITTEN]
    assert client.pushes("subscribe") == [{}]


async def test_the_server_subscribes_a_client_as_it_connects(stand: Stand) -> None:
    client, told = stand.socket(), Told()
    client.session.subscribe(client, "kept:a", told)
    client.session.subscribe(client, "b", told)
    assert told == []

    result = (await client.ask(connect={}))["connect"]
    assert told == [Receipt.WRITTEN, Receipt.WRITTEN]
    assert result["subs"].keys() == {"kept:a", "b"}


async def test_a_client_recovers_what_the_server_subscribes_it_to(stand: Stand) -> None:
    await stand.publish("kept:a", 1)
    await stand.publish("kept:a", 2)
    client = stand.socket()
    client.session.subscribe(client, "kept:a", Told())
    subs = {"kept:a": {"recover": True, "offset": 1}, "other": {"recover": True}}
    result = (await client.ask(connect={"subs": subs}))["connect"]["subs"]["kept:a"]

    assert result["recovered"]
    assert result["publications"] == [{"data": 2, "offset": 2}]


async def test_a_gap_in_what_the_server_subscribed_ends_the_connection(stand: Stand) -> None:
    client, told = await stand.client(), Told()
    client.session.subscribe(client, "kept:a", told)
    await eventually(lambda: bool(told), "the receipt")
    client.session.insufficient("kept:a")

    assert client.closed == (3010, "insufficient state")


async def test_the_server_unsubscribes_a_client(stand: Stand) -> None:
    client, told = await stand.client(), Told()
    await client.ask(subscribe={"channel": "a"})
    client.session.unsubscribe(client, "a", told)

    assert told == [Receipt.WRITTEN]
    assert client.pushes("unsubscribe") == [{"code": 2000, "reason": "server unsubscribe"}]
    assert stand.parts.channels.subscriptions == 0


async def test_what_the_server_wanted_of_a_client_that_goes_is_gone(stand: Stand) -> None:
    client, told = stand.socket(), Told()
    client.session.subscribe(client, "a", told)
    client.close(4000, "enough")

    assert told == [Receipt.GONE]


async def test_an_unknown_namespace_refuses_a_connect_that_would_need_it(stand: Stand) -> None:
    client, told = stand.socket(), Told()
    client.session.subscribe(client, "a", told)
    client.session.subscribe(client, "nobody:a", told)
    reply = await client.ask(connect={})

    assert reply["error"]["code"] == 102
    assert len(told) == 2
    assert stand.parts.channels.subscriptions == 0


async def test_so_many_members_are_told_and_no_more(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told of some of them as if these were all."""
    monkeypatch.setattr(asking, "LIMITS", LIMITS._replace(presence_members=2))
    ann, bob, eve = [await stand.client() for _ in range(3)]
    for client in (ann, bob):
        await client.ask(subscribe={"channel": "seen:a"})
    told = (await ann.ask(presence={"channel": "seen:a"}))["presence"]["presence"]
    await eve.ask(subscribe={"channel": "seen:a"})

    assert told.keys() == {ann.id, bob.id}
    assert (await ann.ask(presence={"channel": "seen:a"}))["error"]["code"] == 106
    counted = (await ann.ask(presence_stats={"channel": "seen:a"}))["presence_stats"]
    assert counted["num_clients"] == 3
