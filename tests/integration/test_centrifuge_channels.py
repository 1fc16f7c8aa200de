"""Clients of the Centrifuge protocol in channels: two workers, real sockets, real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import centrifuge_client
from tests.support.inprocess import InProcess, cluster
from tests.support.waiting import eventually

ROOM = ChannelOptions(
    allow_subscribe_for_client=True,
    allow_subscribe_for_anonymous=True,
    allow_publish_for_subscriber=True,
    allow_publish_for_anonymous=True,
    history_size=100,
    history_ttl=timedelta(minutes=5),
    allow_history_for_subscriber=True,
    allow_history_for_anonymous=True,
    allow_positioning=True,
    allow_recovery=True,
)
CHANNELS = Namespaces(named={"room": ROOM})


@asynccontextmanager
async def two_workers(settings: MakeSettings) -> AsyncIterator[list[InProcess]]:
    chosen = settings(channel=CHANNELS, allow_anonymous_connect_without_token=True)
    async with cluster(chosen, 2) as made:
        yield made


async def test_what_is_said_at_one_worker_is_heard_at_the_other(settings: MakeSettings) -> None:
    async with (
        two_workers(settings) as (one, two),
        centrifuge_client(one.port) as ann,
        centrifuge_client(two.port) as bob,
    ):
        for client in (ann, bob):
            assert (await client.subscribe("room:1", positioned=True))["positioned"]
        commands = [ann.command(publish={"channel": "room:1", "data": n}) for n in range(20)]
        ann.say(*commands)
        for command in commands:
            assert (await ann.reply_to(command))["publish"] == {}

        for client in (ann, bob):
            heard = [await client.publication() for _ in range(20)]
            assert [(said["offset"], said["data"]) for said in heard] == [
                (n + 1, n) for n in range(20)
            ]


async def test_who_comes_back_recovers_at_another_worker(settings: MakeSettings) -> None:
    async with two_workers(settings) as (one, two), centrifuge_client(two.port) as bob:
        await bob.subscribe("room:1")
        async with centrifuge_client(one.port) as ann:
            place = await ann.subscribe("room:1", recoverable=True)
        for number in range(3):
            await bob.ask(publish={"channel": "room:1", "data": number})
        async with centrifuge_client(two.port) as ann:
            result = await ann.subscribe(
                "room:1", recoverable=True, recover=True,
                offset=place.get("offset", 0), epoch=place["epoch"],
            )  # fmt: skip

        assert result["recovered"]
        assert [said["data"] for said in result["publications"]] == [0, 1, 2]


async def test_a_reply_comes_before_the_first_publication(settings: MakeSettings) -> None:
    """Somebody publishes all the time; each subscriber sees its reply first."""
    async with two_workers(settings) as (one, two), centrifuge_client(two.port) as bob:
        await bob.subscribe("room:1")
        async with centrifuge_client(one.port) as ann:
            for _ in range(20):
                said = [bob.command(publish={"channel": "room:1", "data": 1}) for _ in range(3)]
                bob.say(*said)
                ann.seen.clear()
                reply = await ann.ask(subscribe={"channel": "room:1", "positioned": True})
                at = ann.seen.index(reply)
                assert not any("push" in message for message in ann.seen[:at])
                for command in said:
                    await bob.reply_to(command)
                await ann.ask(unsubscribe={"channel": "room:1"})


async def test_the_application_publishes_and_subscribes(settings: MakeSettings) -> None:
    async with two_workers(settings) as (one, two), centrifuge_client(two.port) as bob:
        gateway = one.gateway
        assert await gateway.subscribe(bob.id, "room:9") == "written"
        assert (await bob.push("subscribe"))["channel"] == "room:9"
        await gateway.publish("room:9", {"text": "hi"})
        assert (await bob.publication())["data"] == {"text": "hi"}
        assert await gateway.unsubscribe(bob.id, "room:9") == "written"
        assert (await bob.push("unsubscribe"))["unsubscribe"]["code"] == 2000


async def test_a_client_that_goes_leaves_no_subscription(settings: MakeSettings) -> None:
    async with two_workers(settings) as (one, _):
        async with centrifuge_client(one.port) as ann:
            await ann.subscribe("room:1")
            assert one.worker.parts.channels.subscriptions == 1
        await eventually(lambda: one.worker.parts.channels.subscriptions == 0, "its end")
