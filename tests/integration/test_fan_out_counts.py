"""What a publication costs a subscriber, in things that do not depend on the machine."""

from __future__ import annotations

import cProfile
import json
import os
import pstats
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
import redis

import gateway
from gateway.settings.config import Settings
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import centrifuge_client
from tests.support.counted_sockets import CountedTransport, CountingOs, counted_protocol
from tests.support.fan_out_rounds import Audience, texts_of
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

SUBSCRIBERS: Final = 50
ROUNDS: Final = 10
BURST: Final = 200
KEPT: Final = ChannelOptions(history_size=10, history_ttl=timedelta(minutes=1))
CHANNELS: Final = Namespaces(
    without_namespace=ChannelOptions(), named=MappingProxyType({"kept": KEPT})
)
OPEN: Final = Namespaces(
    without_namespace=ChannelOptions(
        allow_subscribe_for_client=True,
        allow_subscribe_for_anonymous=True,
        allow_publish_for_client=True,
        allow_publish_for_anonymous=True,
    )
)
PERIODS: Final = (
    "channels.steps.TICK_S",
    "redis_support.publishing.ROLE_INTERVAL_S",
    "worker.housekeeping.INTERVAL_S",
    "worker.loop_watch.BEAT_S",
)
PACKAGE: Final = str(Path(gateway.__file__).parent) + os.sep


@asynccontextmanager
async def audience(
    settings: MakeSettings, count: int = SUBSCRIBERS, *, channels: tuple[str, ...] = ("news",)
) -> AsyncIterator[tuple[Audience, InProcess, list[CountedTransport]]]:
    """Text sockets at one worker, another worker to publish at, and the sockets' transports."""
    protocol = counted_protocol()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gateway.channels.fan_out.os", CountingOs(protocol.made))
        async with (
            in_process(settings(channel=CHANNELS)) as publisher,
            in_process(settings(channel=CHANNELS), ws=protocol) as served,
        ):
            await eventually(lambda: len(publisher.worker.parts.members.known) == 2, "acquaintance")
            crowd = await Audience.enter(served, count, channels[0])
            for channel in channels[1:]:
                for local in served.worker.parts.hub:
                    await served.gateway.subscribe(local.id, channel)
            # What is done so often a second is more on a machine that is slow.
            for period in PERIODS:
                patched.setattr(f"gateway.{period}", 3600.0)
            try:
                yield crowd, publisher, protocol.made
            finally:
                crowd.close()


@pytest.mark.parametrize("channel", ["news", "kept:news"])
async def test_a_burst_leaves_in_few_writes(settings: MakeSettings, channel: str) -> None:
    """One for each read of the subscription's connection, which many publications come with."""
    async with audience(settings, channels=(channel,)) as (crowd, publisher, transports):
        await crowd.hear(publisher, texts_of(0, 1), channel)
        before = sum(each.writes for each in transports)
        for number in range(1, 1 + ROUNDS):
            await crowd.hear(publisher, texts_of(number, BURST), channel)
        writes = sum(each.writes for each in transports) - before

    assert writes / (SUBSCRIBERS * ROUNDS) < BURST / 20


async def test_one_publication_is_one_write_a_socket(settings: MakeSettings) -> None:
    async with audience(settings) as (crowd, publisher, transports):
        await crowd.hear(publisher, texts_of(0, 1))
        before = [each.writes for each in transports]
        await crowd.hear(publisher, texts_of(1, 1))

        assert [each.writes - was for each, was in zip(transports, before, strict=True)] == [
            1
        ] * SUBSCRIBERS


@pytest.mark.parametrize(
    ("at_once", "most"),
    [
        (1, 0.9),  # 0.82 are made, all by the publication; 11 were while each was collected
        (BURST, 0.38),  # 0.34 are made; 3.7 were
    ],
)
async def test_a_delivery_takes_no_more_calls_than_it_did(
    settings: MakeSettings, at_once: int, most: float
) -> None:
    """Of functions of the package, by both workers. Each as seldom as in any of three windows:
    what a worker does now and then is part of one or the other.
    """
    async with audience(settings) as (crowd, publisher, _):
        await crowd.hear(publisher, texts_of(0, 1))
        windows = []
        for _again in range(3):
            profile = cProfile.Profile()
            with profile:
                for number in range(ROUNDS):
                    await crowd.hear(publisher, texts_of(number, at_once))
            windows.append(own_calls(profile))
    delivered = ROUNDS * at_once * SUBSCRIBERS
    each = {name: min(calls.get(name, 0) for calls in windows) for name in windows[0]}
    cost = {name: count / delivered for name, count in each.items() if count}

    assert 0 < sum(cost.values()) <= most, sorted(cost.items(), key=lambda one: -one[1])[:30]


@pytest.mark.parametrize(
    ("channel", "command", "least", "most"),
    [("news", "publish", BURST, BURST * 1.1), ("kept:news", "evalsha", 1, 10)],
)
async def test_a_publication_is_one_command(
    settings: MakeSettings,
    own_redis: RedisServer,
    channel: str,
    command: str,
    least: int,
    most: float,
) -> None:
    """Red when a publication is also asked about, or sent twice. Those of one channel that are kept
    share theirs.
    """

    def here(**changes: Any) -> Settings:
        return settings(redis_url=Secret(own_redis.url), **changes)

    async with audience(here, channels=(channel,)) as (crowd, publisher, _):
        await crowd.hear(publisher, texts_of(0, 1), channel)
        with redis.Redis.from_url(own_redis.url) as server:
            server.config_resetstat()
            await crowd.hear(publisher, texts_of(1, BURST), channel)
            calls = server.info("commandstats")[f"cmdstat_{command}"]["calls"]

    # What workers tell each other meanwhile is PUBLISH as well, and so is each of a script.
    assert least <= calls <= most


@pytest.mark.parametrize(
    ("at_once", "most"),
    [
        (1, 115.0),  # 105 are made; 156 were
        (BURST, 82.0),  # 74 are made; 119 were
    ],
)
async def test_a_clients_publication_takes_no_more_calls_than_it_did(
    settings: MakeSettings, at_once: int, most: float
) -> None:
    """Of functions of the package, by its worker, which replies to it, and by another that has the
    subscriber. As seldom as in any of three windows.
    """

    served = settings(
        allow_anonymous_connect_without_token=True, messages_per_second=None, channel=OPEN
    )
    with pytest.MonkeyPatch.context() as patched:
        async with (
            cluster(served, 2) as (first, second),
            centrifuge_client(first.port) as publisher,
            centrifuge_client(second.port) as subscriber,
        ):
            await subscriber.ask(subscribe={"channel": "news"})
            for period in PERIODS:
                patched.setattr(f"gateway.{period}", 3600.0)

            async def hear() -> None:
                said = [
                    publisher.command(publish={"channel": "news", "data": number})
                    for number in range(at_once)
                ]
                publisher.raw.say(*map(json.dumps, said))
                for command in said:
                    assert "error" not in await publisher.reply_to(command)
                for number in range(at_once):
                    assert (await subscriber.publication())["data"] == number

            await hear()
            windows = []
            for _again in range(3):
                profile = cProfile.Profile()
                with profile:
                    for _round in range(ROUNDS):
                        await hear()
                windows.append(own_calls(profile))
    each = {name: min(calls.get(name, 0) for calls in windows) for name in windows[0]}
    cost = {name: count / (ROUNDS * at_once) for name, count in each.items() if count}

    assert 0 < sum(cost.values()) <= most, (
        sum(cost.values()),
        sorted(cost.items(), key=lambda one: -one[1])[:40],
    )


def own_calls(profile: cProfile.Profile) -> dict[str, int]:
    found: dict[str, int] = {}
    for (file, _, name), (_, count, *_) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if PACKAGE in file:
            found[f"{file.removeprefix(PACKAGE)}:{name}"] = count
    return found
