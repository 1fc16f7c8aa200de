"""The page's own client of the Centrifuge protocol, in a real browser, without its view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.support.browser import window
from tests.support.scripted_rooms import Client, ScriptedRooms, said, scripted_rooms
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What it tells is kept as [name, facts].
BEGIN = """() => {
  window.heard = [];
  const hear = (name) => (facts) => heard.push([name, facts]);
  const onState = (state, facts) => heard.push([state, facts]);
  window.client = new CentrifugeClient(roomsEndpoint, { hello: { data: {} }, onState });
  const told = {};
  for (const name of ["onSubscribed", "onPublication", "onJoin", "onLeave", "onEnded"])
    told[name] = hear(name);
  client.subscribe("a", told);
  client.connect();
}"""
PING_S = 25
LATE_S = 10

NOTE_DELAYS = """() => {
  const set = setTimeout;
  window.delays = [];
  window.setTimeout = (call, ms) => { delays.push(ms); return set(call, ms); };
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def rooms() -> AsyncIterator[ScriptedRooms]:
    async with scripted_rooms() as serving:
        yield serving


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, rooms: ScriptedRooms) -> AsyncIterator[Page]:
    """A page whose clock only the test moves on, and whose random waits are none."""
    async with window(browser) as opened:
        await opened.clock.install()
        await opened.goto(f"{rooms.url}/#room")
        await opened.evaluate("Math.random = () => 0")
        await opened.evaluate(BEGIN)
        yield opened


async def heard(page: Page, *names: str) -> list[Any]:
    """The facts told under these names so far."""
    return [facts for name, facts in await page.evaluate("heard") if name in names]


async def hears(page: Page, name: str, count: int = 1) -> Any:
    """Wait until it has been told so often; the last of it."""

    async def told() -> bool:
        await page.clock.run_for(1)
        return len(await heard(page, name)) >= count

    await eventually_async(told, f"{count} {name}", 10)
    return (await heard(page, name))[-1]


async def subscribed(rooms: ScriptedRooms, **result: Any) -> Client:
    client = await rooms.client()
    await client.connected(**result)
    await client.subscribed()
    return client


async def test_what_stands_behind_a_reply_in_its_frame_finds_it_taken(
    page: Page, rooms: ScriptedRooms
) -> None:
    client = await rooms.client()
    await client.connected()
    join = {"push": {"channel": "a", "join": {"info": {"client": client.id, "user": ""}}}}
    await client.subscribed(join, {"push": {"channel": "a", "pub": said("x", 1)}}, {})
    await hears(page, "onPublication")

    names = [name for name, _ in await page.evaluate("heard")]
    assert names == ["connecting", "open", "onSubscribed", "onJoin", "onPublication"]


async def test_replies_may_overtake_each_other(page: Page, rooms: ScriptedRooms) -> None:
    client = await subscribed(rooms)
    await hears(page, "onSubscribed")
    asking = page.evaluate(
        "Promise.all(['one', 'two'].map((m) => client.call('rpc', {method: m})))"
    )
    answers = asyncio.create_task(asking)
    first, second = await client.command("rpc"), await client.command("rpc")
    await client.send(
        {"id": second["id"], "rpc": {"data": second["method"]}},
        {"id": first["id"], "rpc": {"data": first["method"]}},
    )

    assert await answers == [{"data": "one"}, {"data": "two"}]


async def test_pings_are_answered_if_the_server_wants_that(
    page: Page, rooms: ScriptedRooms
) -> None:
    client = await subscribed(rooms, ping=PING_S, pong=True)
    await client.send({}, {})
    await hears(page, "onSubscribed")

    async def two() -> bool:
        return client.pongs == 2

    await eventually_async(two, "two pongs", 10)


async def test_silence_beyond_the_interval_of_pings_ends_a_connection(
    page: Page, rooms: ScriptedRooms
) -> None:
    client = await subscribed(rooms, ping=PING_S, pong=True)
    await hears(page, "onSubscribed")
    await page.clock.run_for((PING_S + LATE_S - 1) * 1000)
    await client.push("a", pub=said("still here", 1))
    await hears(page, "onPublication")
    await page.clock.run_for((PING_S + LATE_S - 1) * 1000)
    assert await heard(page, "waiting") == []

    await page.clock.run_for(2000)

    assert (await hears(page, "waiting"))["code"] == 1006
    await subscribed(rooms)
    await hears(page, "onSubscribed", 2)


async def test_a_server_that_does_not_ping_may_be_silent(page: Page, rooms: ScriptedRooms) -> None:
    await subscribed(rooms)
    await hears(page, "onSubscribed")
    await page.clock.run_for(3_600_000)

    assert await heard(page, "waiting", "closed") == []


@pytest.mark.parametrize(
    ("code", "returns"),
    [(3000, True), (3499, True), (3500, False), (3999, False), (4000, True), (4499, True),
     (4500, False), (4999, False), (1009, False), (1012, True)],
)  # fmt: skip
async def test_close_codes_say_whether_it_comes_back(
    page: Page, rooms: ScriptedRooms, code: int, returns: bool
) -> None:
    client = await subscribed(rooms)
    await hears(page, "onSubscribed")
    await client.close(code, "because")

    told = await hears(page, "waiting" if returns else "closed")
    assert (told["code"], told["reason"]) == (code, "because")
    assert await heard(page, "closed" if returns else "waiting") == []


@pytest.mark.parametrize(
    ("code", "temporary", "returns"), [(100, True, True), (109, False, True), (101, False, False)]
)
async def test_errors_of_a_connect_say_whether_it_comes_back(
    page: Page, rooms: ScriptedRooms, code: int, temporary: bool, returns: bool
) -> None:
    client = await rooms.client()
    await client.refused("connect", code, "because", temporary=temporary)

    told = await hears(page, "waiting" if returns else "closed")
    assert (told["code"], told["reason"]) == (code, "because")


async def test_an_unsubscribe_from_2500_on_is_recovered_from_on_the_same_socket(
    page: Page, rooms: ScriptedRooms
) -> None:
    client = await subscribed(rooms)
    await client.push("a", pub=said("first", 1))
    await client.push("a", unsubscribe={"code": 2500, "reason": "insufficient state"})
    await client.push("a", pub=said("of nobody", 2))
    await hears(page, "onPublication")
    asked = await client.subscribed(
        offset=1, was_recovering=True, recovered=True, publications=[said("second", 2)]
    )

    assert (asked["recover"], asked["offset"]) == (True, 1)
    await hears(page, "onPublication", 2)
    texts = [publication["data"]["text"] for publication in await heard(page, "onPublication")]
    assert texts == ["first", "second"]


async def test_after_an_unsubscribe_it_is_back_within_a_tenth_of_a_second(
    page: Page, rooms: ScriptedRooms
) -> None:
    """What is published meanwhile is missed where the history was lost."""
    client = await subscribed(rooms)
    await hears(page, "onSubscribed")
    await page.evaluate("Math.random = () => 0.999")
    await page.evaluate(NOTE_DELAYS)
    ended = {"code": 2500, "reason": "insufficient state"}
    await client.send(
        {"push": {"channel": "a", "pub": said("first", 1)}},
        {"push": {"channel": "a", "unsubscribe": ended}},
    )
    await hears(page, "onPublication")
    await page.clock.run_for(100)
    await client.subscribed()

    assert [ms for ms in await page.evaluate("delays") if 99 < ms < 1000] == [99.9]


async def test_an_unsubscribe_below_2500_is_for_good(page: Page, rooms: ScriptedRooms) -> None:
    client = await subscribed(rooms)
    await client.push("a", unsubscribe={"code": 2000, "reason": "server unsubscribe"})

    assert await hears(page, "onEnded") == {"code": 2000, "message": "server unsubscribe"}


async def test_a_subscribe_is_asked_again_after_a_temporary_error(
    page: Page, rooms: ScriptedRooms
) -> None:
    client = await rooms.client()
    await client.connected()
    await client.refused("subscribe", 100, "internal server error", temporary=True)
    await hears(page, "open")
    await client.subscribed()

    await hears(page, "onSubscribed")
    assert await heard(page, "onEnded") == []


async def test_an_unrecoverable_position_is_given_up(page: Page, rooms: ScriptedRooms) -> None:
    client = await subscribed(rooms)
    await client.push("a", unsubscribe={"code": 2500, "reason": "insufficient state"})
    await hears(page, "onSubscribed")
    await client.refused("subscribe", 112, "unrecoverable position")

    assert "recover" not in await client.subscribed()
    await hears(page, "onSubscribed", 2)


async def test_a_subscribe_without_an_answer_is_asked_on_another_connection(
    page: Page, rooms: ScriptedRooms
) -> None:
    """It may be subscribed or not: asked again on this one, it would be refused as both."""
    client = await rooms.client()
    await client.connected()
    await client.command("subscribe")
    await hears(page, "open")
    await page.clock.run_for(10_001)

    await hears(page, "waiting")
    await subscribed(rooms)
    await hears(page, "onSubscribed")


async def test_a_call_without_an_answer_is_told_so_and_disturbs_nothing(
    page: Page, rooms: ScriptedRooms
) -> None:
    client = await subscribed(rooms)
    await hears(page, "onSubscribed")
    await page.evaluate("void client.call('rpc', {}).catch((e) => heard.push(['failed', e.code]))")
    request = await client.command("rpc")
    await page.clock.run_for(10_001)
    assert await hears(page, "failed") == 1

    await client.send({"id": request["id"], "rpc": {}})  # too late
    await client.push("a", pub=said("live", 1))
    await hears(page, "onPublication")


async def test_what_is_no_json_ends_a_connection(page: Page, rooms: ScriptedRooms) -> None:
    client = await subscribed(rooms)
    await client.socket.send_text("{")

    assert (await hears(page, "waiting"))["code"] == 1002


async def test_waits_grow_with_attempts_that_come_to_nothing(
    page: Page, rooms: ScriptedRooms
) -> None:
    await page.evaluate("Math.random = () => 0.999")
    for attempt in range(1, 5):
        client = await rooms.client()
        await client.close(3001, "drain")
        told = await hears(page, "waiting", attempt)
        await page.clock.run_for(told["delayMs"] + 1)

    waits = [round(told["delayMs"] / 999) for told in await heard(page, "waiting")]
    assert waits == [1, 2, 4, 8]
