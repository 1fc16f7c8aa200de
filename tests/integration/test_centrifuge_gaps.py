"""A worker misses publications: what its clients of the Centrifuge protocol are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from gateway import Admit, Connection, Gateway
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import centrifuge_client
from tests.support.inprocess import InProcess, cluster
from tests.support.lost_publications import missed_by
from tests.support.redis_server import RedisServer

KEPT: Final[dict[str, Any]] = {
    "allow_subscribe_for_client": True,
    "allow_subscribe_for_anonymous": True,
    "history_size": 100,
    "history_ttl": timedelta(minutes=5),
    "allow_recovery": True,
    "allow_positioning": True,
}
CHANNELS: Final = Namespaces(
    without_namespace=ChannelOptions(**KEPT),
    named={"live": ChannelOptions(**KEPT, force_recovery=True)},
)


@asynccontextmanager
async def two_workers(
    settings: MakeSettings, *, channels: tuple[str, ...] = ()
) -> AsyncIterator[list[InProcess]]:
    """Two that subscribe whoever comes to ``channels``."""

    async def let_in(connection: Connection) -> Admit:
        return Admit(channels=channels)

    gateways = [Gateway(), Gateway()]
    for gateway in gateways:
        gateway.on_connect(let_in)
    async with cluster(settings(channel=CHANNELS), 2, gateways) as made:
        yield made


async def test_who_has_subscribed_is_unsubscribed_and_recovers(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with (
        two_workers(settings) as (one, two),
        centrifuge_client(one.port) as ann,
        centrifuge_client(two.port) as bob,
    ):
        place = await ann.subscribe("live:1")
        await bob.subscribe("live:1")
        await two.gateway.publish("live:1", "first")
        assert (await ann.publication())["data"] == "first"

        await missed_by(one, redis_server, two.gateway.publish("live:1", "lost"))
        ended = await ann.push("unsubscribe")
        assert ended["channel"] == "live:1"
        assert ended["unsubscribe"] == {"code": 2500, "reason": "insufficient state"}
        again = await ann.subscribe("live:1", recover=True, offset=1, epoch=place["epoch"])
        await two.gateway.publish("live:1", "last")

        assert again["recovered"]
        assert [(said["offset"], said["data"]) for said in again["publications"]] == [(2, "lost")]
        last = await ann.publication()
        assert (last["offset"], last["data"]) == (3, "last")
        assert [(await bob.publication())["data"] for _ in range(3)] == ["first", "lost", "last"]


async def test_whom_the_server_has_subscribed_is_closed_and_recovers_as_it_connects(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with two_workers(settings, channels=("live:1", "live:2")) as (one, two):
        async with centrifuge_client(one.port) as ann:
            place = ann.seen[0]["connect"]["subs"]["live:1"]
            await missed_by(one, redis_server, two.gateway.publish("live:1", "lost"))

            assert await ann.closed() == (3010, "insufficient state")
        subs = {"live:1": {"recover": True, "offset": 0, "epoch": place["epoch"]}}
        async with centrifuge_client(one.port, subs=subs) as ann:
            result = ann.seen[0]["connect"]["subs"]

            assert result["live:1"]["recovered"]
            assert [said["data"] for said in result["live:1"]["publications"]] == ["lost"]
            assert "recovered" not in result["live:2"]


async def test_whom_the_server_subscribes_later_is_closed_as_well(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with two_workers(settings) as (one, two), centrifuge_client(one.port) as ann:
        assert await two.gateway.subscribe(ann.id, "live:1") == "written"
        await missed_by(one, redis_server, two.gateway.publish("live:1", "lost"))

        assert await ann.closed() == (3010, "insufficient state")


async def test_who_has_no_position_stays_and_is_told_nothing(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with (
        two_workers(settings) as (one, two),
        centrifuge_client(one.port) as ann,
        centrifuge_client(one.port) as bob,
    ):
        assert "positioned" not in await ann.subscribe("news")
        assert (await bob.subscribe("news", positioned=True))["positioned"]
        await missed_by(one, redis_server, two.gateway.publish("news", "lost"))
        await bob.push("unsubscribe")
        await two.gateway.publish("news", "next")

        assert (await ann.publication())["data"] == "next"


async def test_a_killed_subscription_without_a_loss_ends_nothing(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    """What is published in another channel is lost to those alone who are there."""
    async with (
        two_workers(settings) as (one, two),
        centrifuge_client(one.port) as ann,
    ):
        await ann.subscribe("live:1")
        await ann.subscribe("live:2")
        await missed_by(one, redis_server, two.gateway.publish("live:2", "lost"))
        assert (await ann.push("unsubscribe"))["channel"] == "live:2"
        await two.gateway.publish("live:1", "next")

        assert (await ann.publication())["data"] == "next"
