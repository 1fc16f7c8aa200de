"""npm's ``centrifuge``, unmodified, in a real browser: two pages at two gateways, one killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.support.apps.rooms import CHANNELS
from tests.support.redis_server import RedisServer
from tests.support.sdk import javascript_sdk
from tests.support.serve import Served
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUTAGE_S = 30.0

_CONNECT = """async (user) => {
  const url = `ws://${location.host}/connection/websocket?${user}`;
  window.client = new Centrifuge(url, { minReconnectDelay: 100, maxReconnectDelay: 500 });
  window.states = [];
  client.on("state", (ctx) => states.push(ctx.newState));
  client.connect();
  await client.ready(10000);
}"""

_SUBSCRIBE = """async (channel) => {
  window.room = client.newSubscription(channel,
    { recoverable: true, positioned: true, joinLeave: true });
  window.heard = { publications: [], subscribed: [], joined: [], left: [] };
  room.on("publication", (ctx) => heard.publications.push([ctx.offset, ctx.data]));
  room.on("subscribed", (ctx) => heard.subscribed.push([ctx.wasRecovering, ctx.recovered]));
  room.on("join", (ctx) => heard.joined.push(ctx.info.user));
  room.on("leave", (ctx) => heard.left.push(ctx.info.user));
  room.subscribe();
  await room.ready(10000);
}"""

_REFUSED = """async (ask) => {
  try { await eval(ask); return null; } catch (error) { return error.code; }
}"""


@pytest.fixture(scope="module")
def gateways(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Served]]:
    variables = {
        "GATEWAY_REDIS_URL": redis_server.url,
        "GATEWAY_REDIS_PREFIX": "sdk-javascript",
        "GATEWAY_CHANNEL": CHANNELS,
        "GATEWAY_DRAIN_SECONDS": "1",
    }
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                Served(
                    tmp_path_factory.mktemp(name),
                    "tests.support.apps.rooms:gateway",
                    environment=variables,
                )
            )
            for name in ("one", "two")
        ]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    return javascript_sdk(tmp_path_factory.mktemp("npm"))


@pytest_asyncio.fixture(loop_scope="module")
async def pages(browser: Browser, gateways: list[Served], script: str) -> AsyncIterator[list[Page]]:
    """Ann at the first gateway, Bob at the second, connected."""
    context = await browser.new_context(bypass_csp=True)
    made = []
    for served, user in zip(gateways, ("ann", "bob"), strict=True):
        page = await context.new_page()
        await page.goto(f"{served.url}/livez")  # a page of that host, with nothing on it
        await page.add_script_tag(content=script)
        await page.evaluate(_CONNECT, user)
        made.append(page)
    yield made
    await context.close()


async def becomes(page: Page, expression: str, wanted: Any, within_s: float = 10.0) -> None:
    async def is_so() -> bool:
        return bool(await page.evaluate(expression) == wanted)

    await eventually_async(is_so, f"{expression} == {wanted}", within_s)


async def test_two_pages_in_one_room(pages: list[Page]) -> None:
    ann, bob = pages
    await ann.evaluate(_SUBSCRIBE, "room:1")
    await bob.evaluate(_SUBSCRIBE, "room:1")
    await becomes(ann, "heard.joined", ["ann", "bob"])
    for number in range(1, 4):
        await ann.evaluate("(n) => room.publish({ n })", number)
    await bob.evaluate("() => room.publish('text')")

    said: list[list[Any]] = [[1, {"n": 1}], [2, {"n": 2}], [3, {"n": 3}], [4, "text"]]
    for page in pages:
        await becomes(page, "heard.publications", said)
    history = await bob.evaluate("() => room.history({ limit: 10 })")
    assert [[p["offset"], p["data"]] for p in history["publications"]] == said
    assert history["offset"] == 4

    presence = (await ann.evaluate("() => room.presence()"))["clients"]
    assert sorted(info["user"] for info in presence.values()) == ["ann", "bob"]
    stats = await ann.evaluate("() => room.presenceStats()")
    assert stats == {"numClients": 2, "numUsers": 2}

    await bob.evaluate("() => room.unsubscribe()")
    await becomes(ann, "heard.left", ["bob"])


async def test_a_method_is_called(pages: list[Page]) -> None:
    ann, _ = pages
    answer = await ann.evaluate("() => client.rpc('double', { n: 21 })")

    assert answer == {"data": {"twice": 42, "user": "ann"}}
    assert await ann.evaluate(_REFUSED, "client.rpc('halve', {})") == 104
    assert await ann.evaluate(_REFUSED, "client.publish('plain', 1)") == 103


async def test_what_it_sends_is_answered_by_the_application(pages: list[Page]) -> None:
    ann, _ = pages
    await ann.evaluate(
        "() => { window.told = []; client.on('message', (m) => told.push(m.data)); }"
    )
    await ann.evaluate("() => client.send({ n: 1 })")
    await ann.evaluate("() => client.send('text')")

    await becomes(ann, "told", [{"heard": {"n": 1}}, {"heard": "text"}])
    assert await ann.evaluate("() => client.rpc('tell', 'hello')") == {"data": "written"}
    await becomes(ann, "told.at(-1)", "hello")


async def test_a_page_that_loses_its_worker_recovers_what_it_has_missed(
    pages: list[Page], gateways: list[Served]
) -> None:
    ann, bob = pages
    await ann.evaluate(_SUBSCRIBE, "room:2")
    await bob.evaluate(_SUBSCRIBE, "room:2")
    await bob.evaluate("() => room.publish(0)")
    await becomes(ann, "heard.publications.length", 1)

    [worker] = gateways[0].worker_pids()
    os.kill(worker, signal.SIGKILL)
    for number in range(1, 40):
        await bob.evaluate("(n) => room.publish(n)", number)
        await asyncio.sleep(0.01)  # before, while and after nobody serves the other
    await becomes(ann, "heard.subscribed.length", 2, OUTAGE_S)
    await bob.evaluate("() => room.publish(40)")
    await becomes(ann, "heard.publications.length", 41, OUTAGE_S)

    assert await ann.evaluate("heard.publications") == [[n + 1, n] for n in range(41)]
    assert await ann.evaluate("heard.subscribed") == [[False, False], [True, True]]
