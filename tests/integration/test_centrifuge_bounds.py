"""Every bound of clients of the Centrifuge protocol: what is at it, and what is one beyond."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

import pytest

from gateway import ChannelLimit, Gateway, Subscription
from gateway.edge.connection import ClientConnection
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import CentrifugeClient, centrifuge_client, centrifuge_socket
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.tokens import SECRET, token
from tests.support.waiting import eventually

ROOM: Final = ChannelOptions(
    allow_subscribe_for_client=True,
    allow_subscribe_for_anonymous=True,
    allow_publish_for_client=True,
    allow_publish_for_anonymous=True,
    history_size=400,
    history_ttl=timedelta(minutes=5),
    allow_history_for_client=True,
    allow_history_for_anonymous=True,
    allow_recovery=True,
)
CHANNELS: Final = Namespaces(named={"room": ROOM})
ANYBODY: Final[dict[str, Any]] = {
    "channel": CHANNELS,
    "allow_anonymous_connect_without_token": True,
    "token_hmac_secret_key": Secret(SECRET),
}
LIMIT: Final = {"code": 106, "message": "limit exceeded"}
BAD: Final = {"code": 107, "message": "bad request"}


def room(place: int) -> str:
    return f"room:{place}"


async def answers(client: CentrifugeClient, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """The replies to what is asked in one frame."""
    commands = [client.command(**request) for request in requests]
    client.say(*commands)
    return [await client.reply_to(command) for command in commands]


async def fill(client: CentrifugeClient, channels: range) -> None:
    wanted = [{"subscribe": {"channel": room(place)}} for place in channels]
    for reply in await answers(client, *wanted):
        assert "subscribe" in reply


# Channels


async def test_channels_of_a_connection(settings: MakeSettings) -> None:
    async with in_process(settings(**ANYBODY)) as served, centrifuge_client(served.port) as ann:
        await fill(ann, range(128))
        assert (await ann.ask(subscribe={"channel": room(128)}))["error"] == LIMIT
        await ann.ask(unsubscribe={"channel": room(0)})

        assert "subscribe" in await ann.ask(subscribe={"channel": room(128)})
        assert served.worker.parts.channels.subscriptions == 128


async def test_one_more_by_the_server_closes_it(settings: MakeSettings) -> None:
    async with cluster(settings(**ANYBODY), 2) as (one, two):
        async with centrifuge_client(one.port) as ann:
            await fill(ann, range(127))
            assert await two.gateway.subscribe(ann.id, room(127)) == "written"
            with pytest.raises(ChannelLimit):
                await two.gateway.subscribe(ann.id, room(128))

            assert await ann.closed() == (3505, "channel limit")
        await eventually(lambda: one.worker.parts.channels.subscriptions == 0, "their end")


@pytest.mark.parametrize(("count", "let_in"), [(128, True), (129, False)])
async def test_channels_that_a_token_names(
    settings: MakeSettings, count: int, let_in: bool
) -> None:
    shown = token({"sub": "ann", "channels": [room(place) for place in range(count)]})
    async with in_process(settings(**ANYBODY)) as served, centrifuge_socket(served.port) as ann:
        if let_in:
            assert len((await ann.connect(token=shown))["subs"]) == count
        else:
            ann.say(ann.command(connect={"token": shown}))
            assert await ann.closed() == (3505, "channel limit")
            assert served.worker.parts.channels.subscriptions == 0


async def test_channels_of_a_worker(settings: MakeSettings) -> None:
    async with (
        in_process(settings(**ANYBODY, max_channels=2)) as served,
        centrifuge_client(served.port) as ann,
        centrifuge_client(served.port) as bob,
    ):
        await fill(ann, range(2))
        assert (await bob.ask(subscribe={"channel": room(2)}))["error"] == LIMIT

        await fill(bob, range(2))


@pytest.mark.parametrize(("size", "error"), [(255, None), (256, BAD)])
async def test_bytes_of_a_name(
    settings: MakeSettings, size: int, error: dict[str, Any] | None
) -> None:
    name = "room:".ljust(size, "x")
    async with in_process(settings(**ANYBODY)) as served, centrifuge_client(served.port) as ann:
        for kind, more in (("subscribe", {}), ("publish", {"data": 1}), ("history", {})):
            reply = await ann.ask(**{kind: {"channel": name, **more}})
            assert reply.get("error") == error


# Publications


@pytest.mark.parametrize(("size", "error"), [(65_536, None), (65_537, LIMIT)])
async def test_bytes_of_a_publication(
    settings: MakeSettings, size: int, error: dict[str, Any] | None
) -> None:
    data = "x" * (size - 2)  # and its quotes
    async with (
        cluster(settings(**ANYBODY, message_bytes=70_000), 2) as (one, two),
        centrifuge_client(one.port) as ann,
        centrifuge_client(two.port) as bob,
    ):
        await bob.subscribe("room:1")
        reply = await ann.ask(publish={"channel": "room:1", "data": data})
        await two.gateway.publish("room:1", "next")
        heard = (await bob.publication())["data"]

        assert reply.get("error") == error
        assert heard == ("next" if error else data)


@pytest.mark.parametrize(
    ("asked", "told"), [(0, 0), (1, 1), (299, 299), (300, 300), (301, 300), (-1, 300)]
)
async def test_publications_that_are_read_at_once(
    settings: MakeSettings, asked: int, told: int
) -> None:
    async with in_process(settings(**ANYBODY)) as served, centrifuge_client(served.port) as ann:
        await publish(served, 301)
        [reply] = await answers(ann, {"history": {"channel": "room:1", "limit": asked}})
        found = reply["history"]

        assert [each["data"] for each in found["publications"]] == list(range(1, told + 1))
        assert found["offset"] == 301


async def publish(served: InProcess, count: int) -> None:
    for number in range(count):
        await served.gateway.publish("room:1", number + 1)


@pytest.mark.parametrize(("missed", "recovered"), [(300, True), (301, False)])
async def test_publications_that_are_recovered(
    settings: MakeSettings, missed: int, recovered: bool
) -> None:
    async with cluster(settings(**ANYBODY), 2) as (one, two):
        async with centrifuge_client(one.port) as ann:
            epoch = (await ann.subscribe("room:1", recoverable=True))["epoch"]
        await publish(two, missed)
        async with centrifuge_client(two.port) as ann:
            result = await ann.subscribe("room:1", recover=True, epoch=epoch)

        assert result.get("recovered", False) is recovered
        assert len(result.get("publications", ())) == (missed if recovered else 0)
        assert result["was_recovering"]
        assert result.get("offset", 0) == (0 if recovered else missed)


# Frames, and what is in flight


@pytest.mark.parametrize(("size", "close"), [(1000, None), (1001, 1009)])
async def test_bytes_of_a_frame(settings: MakeSettings, size: int, close: int | None) -> None:
    frame = '{"id":7,"rpc":{"method":"m","data":"'.ljust(size - 3, "x") + '"}}'
    async with (
        in_process(settings(**ANYBODY, message_bytes=1000)) as served,
        centrifuge_client(served.port) as ann,
    ):
        assert len(frame) == size
        ann.raw.say(frame)

        if close is None:
            assert (await ann.reply_to({"id": 7}))["error"]["code"] == 108
        else:
            assert (await ann.closed())[0] == close


class Held:
    """Reads of the history that wait until they are let go, one by one."""

    def __init__(self, served: InProcess) -> None:
        self._read = served.worker.parts.publisher.page
        self._let_go = asyncio.Semaphore(0)
        served.worker.parts.publisher.page = self._page  # type: ignore[method-assign]

    async def _page(self, *args: Any, **named: Any) -> Any:
        await self._let_go.acquire()
        return await self._read(*args, **named)

    def let_go(self, count: int) -> None:
        for _ in range(count):
            self._let_go.release()


def reads(served: InProcess) -> bool:
    """Whether the one client's socket is read."""
    [local] = served.worker.parts.hub
    assert isinstance(local, ClientConnection)
    return local.reading


HISTORY: Final = {"history": {"channel": "room:1", "limit": 1}}


async def test_commands_without_a_reply(settings: MakeSettings) -> None:
    """At 256 the socket is not read; once one is answered, it is again."""
    async with in_process(settings(**ANYBODY)) as served, centrifuge_client(served.port) as ann:
        held = Held(served)
        asked = [ann.command(**HISTORY) for _ in range(256)]
        ann.say(*asked[:255])
        assert "unsubscribe" in await ann.ask(unsubscribe={"channel": "room:1"})
        assert reads(served)
        ann.say(asked[255])
        await eventually(lambda: not reads(served), "the bound")
        ann.say(late := ann.command(unsubscribe={"channel": "room:1"}))
        reply = asyncio.ensure_future(ann.reply_to(late))
        await asyncio.wait([reply], timeout=0.3)
        assert not reply.done()

        held.let_go(1)
        assert "unsubscribe" in await reply
        held.let_go(255)
        for command in asked:
            assert "history" in await ann.reply_to(command)


async def test_bytes_of_commands_without_a_reply(settings: MakeSettings) -> None:
    since = {"epoch": "x" * 60_000}
    big = [{"history": {"channel": room(place), "since": since}} for place in range(5)]
    async with in_process(settings(**ANYBODY)) as served, centrifuge_client(served.port) as ann:
        held = Held(served)
        for question in big[:4]:
            ann.say(ann.command(**question))
        assert "unsubscribe" in await ann.ask(unsubscribe={"channel": "room:1"})
        ann.say(ann.command(**big[4]))  # now over 256 KiB
        await eventually(lambda: not reads(served), "the bound")
        ann.say(late := ann.command(unsubscribe={"channel": "room:1"}))
        reply = asyncio.ensure_future(ann.reply_to(late))
        await asyncio.wait([reply], timeout=0.3)
        assert not reply.done()

        held.let_go(5)
        assert "unsubscribe" in await reply


async def test_commands_that_a_hook_has_not_answered(settings: MakeSettings) -> None:
    """At 32 the socket is not read: what comes after them is late, in order, and not lost."""
    gateway, gate, seen = Gateway(), asyncio.Event(), list[str]()

    @gateway.on_subscribe("room:*")
    async def allow(subscribe: Subscription) -> None:
        seen.append(subscribe.channel)
        await gate.wait()

    async with (
        in_process(settings(**ANYBODY), gateway) as served,
        centrifuge_client(served.port) as ann,
    ):
        asked = [ann.command(subscribe={"channel": room(place)}) for place in range(40)]
        ann.say(*asked[:31])
        assert "unsubscribe" in await ann.ask(unsubscribe={"channel": "room:none"})
        assert reads(served)
        ann.say(asked[31])
        await eventually(lambda: not reads(served), "the bound")
        for command in asked[32:]:
            ann.say(command)
        gate.set()

        for command in asked:
            assert "subscribe" in await ann.reply_to(command)
    assert seen == [room(place) for place in range(40)]


async def test_one_frame_may_hold_more_than_may_be_in_flight(settings: MakeSettings) -> None:
    """What has been read is answered; nothing more is read before."""
    async with in_process(settings(**ANYBODY)) as served, centrifuge_client(served.port) as ann:
        replies = await answers(ann, *[HISTORY] * 600)

        assert all("history" in reply for reply in replies)
        assert "unsubscribe" in await ann.ask(unsubscribe={"channel": "room:1"})


# In order


async def test_commands_of_one_frame_are_done_in_order(settings: MakeSettings) -> None:
    """Those of one channel wait for each other, and answer in their order."""
    async with in_process(settings(**ANYBODY)) as served, centrifuge_client(served.port) as ann:
        publish = [{"publish": {"channel": "room:1", "data": n}} for n in range(50)]
        subscribe = {"subscribe": {"channel": "room:1"}}
        await answers(ann, subscribe, *publish, HISTORY)
        ids = [message["id"] for message in ann.seen if message.get("id")]
        heard = [(await ann.publication())["data"] for _ in range(50)]

        assert heard == list(range(50))
        assert ids[:2] == [1, 2]
        unsubscribe = {"unsubscribe": {"channel": "room:1"}}
        replies = await answers(ann, unsubscribe, subscribe, unsubscribe, subscribe, subscribe)
        assert [reply.get("error", {}).get("code") for reply in replies] == [None] * 4 + [105]
