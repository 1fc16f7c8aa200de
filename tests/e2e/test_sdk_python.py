"""PyPI's ``centrifuge-python``, unmodified: two clients on two gateways, and one that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from centrifuge import (
    Client,
    ClientEventHandler,
    PublicationContext,
    ReplyError,
    SubscribedContext,
    Subscription,
    SubscriptionEventHandler,
)

from tests.support.apps.rooms import CHANNELS
from tests.support.redis_server import RedisServer
from tests.support.serve import Served
from tests.support.waiting import eventually

OUTAGE_S = 30.0


class Heard(SubscriptionEventHandler):  # type: ignore[misc]  # the package has no types
    """What a subscription was told, in order."""

    def __init__(self) -> None:
        self.publications: list[tuple[int, Any]] = []
        self.subscribed: list[SubscribedContext] = []
        self.joined: list[str] = []
        self.left: list[str] = []

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.publications.append((ctx.pub.offset, ctx.pub.data))

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        self.subscribed.append(ctx)

    async def on_join(self, ctx: Any) -> None:
        self.joined.append(ctx.info.user)

    async def on_leave(self, ctx: Any) -> None:
        self.left.append(ctx.info.user)


@asynccontextmanager
async def connected(served: Served, user: str) -> AsyncIterator[Client]:
    url = f"ws://127.0.0.1:{served.port}/connection/websocket?{user}"
    client = Client(
        url, events=ClientEventHandler(), min_reconnect_delay=0.1, max_reconnect_delay=0.5
    )
    await client.connect()
    try:
        await client.ready(timeout=10)
        yield client
    finally:
        before = asyncio.all_tasks()
        await client.disconnect()
        if closing := asyncio.all_tasks() - before:  # its socket, which it does not wait for
            await asyncio.wait(closing, timeout=10)


async def subscribed(client: Client, channel: str) -> tuple[Subscription, Heard]:
    heard = Heard()
    subscription = client.new_subscription(
        channel, events=heard, recoverable=True, positioned=True, join_leave=True
    )
    await subscription.subscribe()
    await subscription.ready(timeout=10)
    return subscription, heard


@pytest.fixture
def gateways(redis_server: RedisServer, tmp_path: Path) -> Iterator[list[Served]]:
    variables = {
        "GATEWAY_REDIS_URL": redis_server.url,
        "GATEWAY_REDIS_PREFIX": "sdk-python",
        "GATEWAY_CHANNEL": CHANNELS,
        "GATEWAY_DRAIN_SECONDS": "1",
    }
    with ExitStack() as stack:
        made = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            served = Served(
                tmp_path / name, "tests.support.apps.rooms:gateway", environment=variables
            )
            made.append(stack.enter_context(served))
        yield made


async def test_two_clients_in_one_room(gateways: list[Served]) -> None:
    one, two = gateways
    async with connected(one, "ann") as ann, connected(two, "bob") as bob:
        hers, her = await subscribed(ann, "room:1")
        his, him = await subscribed(bob, "room:1")
        await eventually(lambda: her.joined == ["ann", "bob"], "the joins")
        for number in range(1, 4):
            await hers.publish({"n": number})
        await his.publish("text")

        said = [(1, {"n": 1}), (2, {"n": 2}), (3, {"n": 3}), (4, "text")]
        await eventually(lambda: her.publications == said, "hers")
        await eventually(lambda: him.publications == said, "his")

        history = await his.history(limit=10)
        assert [(p.offset, p.data, p.info.user) for p in history.publications] == [
            (offset, data, "bob" if data == "text" else "ann") for offset, data in said
        ]
        assert history.offset == 4

        presence = (await hers.presence()).clients
        assert sorted(info.user for info in presence.values()) == ["ann", "bob"]
        stats = await hers.presence_stats()
        assert (stats.num_clients, stats.num_users) == (2, 2)

        await his.unsubscribe()
        await eventually(lambda: her.left == ["bob"], "the leave")


async def test_a_method_is_called_and_one_that_is_not_there_is_refused(
    gateways: list[Served],
) -> None:
    async with connected(gateways[0], "ann") as ann:
        answer = await ann.rpc("double", {"n": 21})
        assert answer.data == {"twice": 42, "user": "ann"}

        with pytest.raises(ReplyError) as refused:
            await ann.rpc("halve", {"n": 1})
        assert refused.value.code == 104

        assert (await ann.rpc("tell", "hello")).data == "written"  # a push that it does not know
        assert (await ann.rpc("double", {"n": 1})).data["twice"] == 2


async def test_what_may_not_be_is_refused_with_its_code(gateways: list[Served]) -> None:
    async with connected(gateways[0], "ann") as ann:
        subscription, _ = await subscribed(ann, "plain")
        with pytest.raises(ReplyError) as refused:
            await subscription.publish(1)
        assert refused.value.code == 103
        with pytest.raises(ReplyError) as refused:
            await subscription.history()
        assert refused.value.code == 108


async def test_who_loses_its_worker_recovers_what_it_has_missed(gateways: list[Served]) -> None:
    one, two = gateways
    async with connected(one, "ann") as ann, connected(two, "bob") as bob:
        _, her = await subscribed(ann, "room:2")
        his, _ = await subscribed(bob, "room:2")
        await his.publish(0)
        await eventually(lambda: len(her.publications) == 1, "the first")

        [worker] = one.worker_pids()
        os.kill(worker, signal.SIGKILL)
        for number in range(1, 40):
            await his.publish(number)
            await asyncio.sleep(0.01)  # before, while and after nobody serves the other
        await eventually(lambda: len(her.subscribed) == 2, "its return", OUTAGE_S)
        await his.publish(40)
        await eventually(lambda: len(her.publications) >= 41, "the last", OUTAGE_S)

        assert her.publications == [(number + 1, number) for number in range(41)]
        assert [told.recovered for told in her.subscribed] == [False, True]
        assert her.subscribed[1].was_recovering
