"""The admin page in a real browser, over two workers of one gateway."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Literal
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from tests.support.admin_page import AdminPage, admin_page, admin_url
from tests.support.apps.rooms import CHANNELS
from tests.support.browser import PHONE, WITHIN_MS, window
from tests.support.centrifuge_client import centrifuge_socket
from tests.support.rawclient import CLOSE, raw_websocket
from tests.support.serve import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "the-key"
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("admin")
    variables = {
        "GATEWAY_ADMIN_BIND": "127.0.0.1:0",
        "GATEWAY_API_KEYS": KEY,
        "GATEWAY_CHANNEL": CHANNELS,
        "WATCHED_RELEASE": "/nothing is held",
    }
    app = "tests.support.apps.watched:gateway"
    with Served(folder, app, "--workers", "2", environment=variables) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, served: Served) -> AsyncIterator[AdminPage]:
    """The page, unlocked and live; nothing has gone wrong in it in the end."""
    async with admin_page(browser, admin_url(served)) as opened:
        await opened.unlock(KEY)
        await opened.is_("Live")
        yield opened
        assert opened.complaints == []


async def test_it_shows_both_workers_and_what_they_do(page: AdminPage, served: Served) -> None:
    rows = page.table("workers")
    await expect(rows).to_have_count(2, timeout=WITHIN_MS)
    for pid in served.worker_pids():
        row = page.row("workers", f"({pid})")
        await expect(row).to_contain_text("live")
        await expect(row).to_contain_text("ok, heard", timeout=WITHIN_MS)
        assert await page.cell(row, "Role") == "both"
    await expect(page.page.locator("#workers-news")).to_have_text("2 workers")

    async with raw_websocket(served.port, "/communicate?ali") as client:
        await expect(page.page.locator("#sum-connections")).to_have_text("1", timeout=WITHIN_MS)
        for number in range(20):
            client.say(f"line {number}")
        await client.texts(20)
        for name, count in (("received", 20), ("handled", 21)):  # on_connect too
            shown = page.page.locator(f"#sum-{name}")
            await expect(shown).to_contain_text(f"({count} in all)", timeout=WITHIN_MS)


async def test_a_text_is_sent_to_a_connection_and_it_is_closed(
    page: AdminPage, served: Served
) -> None:
    async with raw_websocket(served.port, "/communicate?eve", **{"User-Agent": HOSTILE}) as client:
        client.say("hello")
        assert await client.texts(1) == ["hello"]
        await page.go("Connections")
        await page.search(user="eve")
        row = page.row("connections", "eve")
        assert await page.cell(row, "User agent") == HOSTILE
        name = await page.cell(row, "Connection")
        await row.get_by_role("link", name=name).click()

        await page.shows("Connection")
        await expect(page.particular("User")).to_have_text("eve", timeout=WITHIN_MS)
        await expect(page.particular("User agent")).to_have_text(HOSTILE)
        await expect(page.particular("Messages received")).to_have_text("1")
        assert await page.particular("Worker").inner_text() == name[:16]

        await page.page.get_by_label("Text to send").fill("from the page")
        await page.page.get_by_role("button", name="Send").click()
        assert await client.texts(1) == ["from the page"]
        news = page.page.locator("#connection-news")
        await expect(news).to_have_text("Sent: its socket has taken the text.")

        await page.page.get_by_label("Close code").fill("4321")
        await page.page.get_by_label("Reason").fill("by hand")
        await page.page.get_by_role("button", name="Close the connection").click()
        dialog = page.page.get_by_role("dialog", name="Close this connection?")
        await dialog.get_by_role("button", name="Keep it").click()
        client.say("still there")
        assert await client.texts(1) == ["still there"]
        await page.page.get_by_role("button", name="Close the connection").click()
        await page.page.evaluate("location.hash = '#connections'")
        await expect(dialog).to_be_hidden()  # or it would close what is not shown
        await page.page.go_back()
        await expect(page.particular("User")).to_have_text("eve", timeout=WITHIN_MS)
        await page.page.get_by_role("button", name="Close the connection").click()
        await expect(dialog).to_contain_text(f"{name} is closed with 4321 by hand.")
        await dialog.get_by_role("button", name="Close it").click()

        [closing] = [frame for frame in await client.rest() if frame.opcode == CLOSE]
        assert closing.closing == (4321, "by hand")
    await expect(news).to_have_text("Closed with 4321 by hand.")
    await expect(page.page.get_by_role("button", name="Send")).to_be_hidden()


async def test_what_clients_say_of_themselves_is_text(page: AdminPage, served: Served) -> None:
    channel = f"room:{HOSTILE}"
    path = f"/connection/websocket?{quote(HOSTILE)}"
    async with centrifuge_socket(served.port, path) as client:
        await client.connect()
        await client.subscribe(channel)
        await page.go("Connections")
        await page.search(user=HOSTILE)
        await page.row("connections", HOSTILE).get_by_role("link").first.click()
        await expect(page.particular("Channels")).to_have_text(channel, timeout=WITHIN_MS)
        await page.go("Channels")
        row = page.row("channels", HOSTILE)
        await expect(row.locator("td")).to_have_text(["1", "1", "1"], timeout=WITHIN_MS)
        assert await page.cell(row, "Channel") == channel

    assert await page.page.locator("main img").count() == 0
    assert "owned" not in await page.page.title()


async def test_connections_are_found_by_worker_user_and_address(
    page: AdminPage, served: Served
) -> None:
    async with AsyncExitStack() as stack:
        for number in range(12):
            path = f"/communicate?user-{number}"
            await stack.enter_async_context(raw_websocket(served.port, path))
        await page.go("Connections")
        news = page.page.locator("#connections-news")
        await expect(news).to_have_text("12 connections", timeout=WITHIN_MS)

        await page.search(user="user-7")
        await expect(news).to_have_text("1 connection")
        worker = (await page.cell(page.table("connections"), "Worker"))[:16]
        await page.search(worker=worker)
        await expect(page.table("connections").first).to_contain_text(worker)
        of_one = await page.table("connections").count()
        assert 0 < of_one <= 12
        await page.search(address="127.0.0.1")
        await expect(news).to_have_text("12 connections")
        await page.search(address="192.0.2.1")
        await expect(news).to_have_text("0 connections")


async def test_a_long_list_is_asked_for_in_parts(page: AdminPage) -> None:
    asked: list[str] = []

    async def many(route: Route) -> None:
        asked.append(route.request.url)
        found = [] if "address" in route.request.url else [listed(len(asked))]
        await route.fulfill(json={"connections": found, "cursor": f"c{len(asked)}"})

    await page.page.route(re.compile("@connections"), many)
    await page.go("Connections")
    news = page.page.locator("#connections-news")
    await expect(news).to_have_text("1 connection, and more", timeout=WITHIN_MS)
    more = page.page.get_by_role("button", name="More connections")
    await more.press("Enter")
    await expect(news).to_have_text("2 connections, and more")
    await expect(more).to_be_focused()
    assert "cursor=c1" in asked[1]

    asked.clear()
    await page.search(address="192.0.2.1")
    await expect(news).to_have_text("0 connections so far, there are more to search")
    assert len(asked) == 10  # and no more before the person says so
    await expect(more).to_be_visible()


async def test_a_table_keeps_so_many_rows_as_a_browser_draws_well(page: AdminPage) -> None:
    """All that is found is shown, by and by; also what an address has at once."""
    asked: list[str] = []

    async def many(route: Route) -> None:
        asked.append(route.request.url)
        found = [listed(1000 * len(asked) + number) for number in range(1000)]
        await route.fulfill(json={"connections": found, "cursor": f"c{len(asked)}"})

    await page.page.route(re.compile("@connections"), many)
    await page.go("Connections")
    await page.search(address="192.0.2.7")
    asked.clear()
    news = page.page.locator("#connections-news")
    more = page.page.get_by_role("button", name="More connections")
    await expect(news).to_have_text("50 connections, and more", timeout=WITHIN_MS)
    for _ in range(10):
        await more.click()

    await expect(news).to_have_text("550 connections, the last 500 of which are shown, and more")
    rows = page.table("connections")
    await expect(rows).to_have_count(500)
    first, last = [await page.cell(row, "Connection") for row in (rows.first, rows.last)]
    assert int(last[-4:]) - int(first[-4:]) == 499
    assert asked == []  # what is known is not asked for again


async def test_a_search_that_is_broken_off_shows_what_it_has_passed(page: AdminPage) -> None:
    asked: list[str] = []

    async def at_first(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 2:
            await route.fulfill(status=503, json={"message": "Redis is away"})
        else:
            await route.fulfill(json={"connections": [listed(len(asked))], "cursor": "c1"})

    await page.go("Connections")
    await page.page.route(re.compile("@connections"), at_first)
    await page.search(address="192.0.2.7")
    await expect(page.page.locator("#connections-news")).to_have_text("Redis is away")
    await expect(page.table("connections")).to_have_count(1)
    page.complaints.clear()  # the browser's own, of the 503


def listed(number: int) -> dict[str, object]:
    worker = "w" * 16
    return {
        "id": f"{worker}.{number:022}",
        "worker": worker,
        "user": None,
        "protocol": "",
        "connectedAt": "2026-11-22T23:26:16.854Z",
        "identity": {"sourceIp": "192.0.2.7", "userAgent": ""},
    }


async def test_a_window_without_the_right_key_shows_nothing(
    browser: Browser, served: Served
) -> None:
    async with admin_page(browser, admin_url(served)) as page:
        await page.unlock("another")
        await expect(page.page.get_by_role("alert")).to_contain_text(
            "not one of those that are allowed", timeout=WITHIN_MS
        )
        await expect(page.page.get_by_role("navigation")).to_be_hidden()
        await expect(page.page.get_by_label("API key", exact=True)).to_be_focused()

        await page.unlock(KEY)
        await page.is_("Live")
        await page.page.reload()  # the window keeps it
        await page.is_("Live")
        await page.page.get_by_role("button", name="Forget the key").click()
        await page.page.reload()
        await expect(page.page.get_by_label("API key", exact=True)).to_be_focused()
        assert not any(KEY in asked for asked in page.asked)


async def test_a_gateway_without_a_key_says_what_to_set(browser: Browser, served: Served) -> None:
    async def without(route: Route) -> None:
        answer = await route.fetch()
        text = (await answer.text()).replace(
            'name="gateway-keys" content="some"', 'name="gateway-keys" content="none"'
        )
        await route.fulfill(response=answer, body=text)

    async with window(browser) as opened:
        await opened.route("**/admin/", without)
        await opened.goto(f"{admin_url(served)}/admin/")

        await expect(opened.get_by_role("main")).to_contain_text("set GATEWAY_API_KEYS or")
        await expect(opened.get_by_label("API key", exact=True)).to_be_hidden()


async def test_the_keyboard_reaches_everything_and_one_sees_where_it_is(
    page: AdminPage, served: Served
) -> None:
    async with raw_websocket(served.port, "/communicate?kay") as client:
        await page.tab_to("Connections")
        await page.page.keyboard.press("Enter")
        await expect(page.page.get_by_role("heading", name="Connections")).to_be_focused()
        await page.tab_to("of-user")
        await page.page.keyboard.type("kay")
        async with page.page.expect_response(re.compile(r"@connections\?user=kay")):
            await page.page.keyboard.press("Enter")  # takes away the rows of everybody
        row = page.row("connections", "kay")
        await expect(row).to_be_visible(timeout=WITHIN_MS)
        await page.tab_to(await page.cell(row, "Connection"))
        await page.page.keyboard.press("Enter")
        await expect(page.particular("User")).to_have_text("kay", timeout=WITHIN_MS)
        await page.tab_to("text")
        await page.page.keyboard.type("typed")
        await page.tab_to("Send")
        await page.page.keyboard.press("Enter")
        assert await client.texts(1) == ["typed"]
        await page.tab_to("Close the connection")
        await page.page.keyboard.press("Enter")
        await expect(page.page.get_by_role("button", name="Keep it")).to_be_focused()
        await page.page.keyboard.press("Escape")
        await page.tab_to("Close the connection", steps=0)
        await page.page.keyboard.press("Enter")
        await page.tab_to("Close it")
        await page.page.keyboard.press("Enter")
        [closing] = [frame for frame in await client.rest() if frame.opcode == CLOSE]
        assert closing.closing == (3503, "disconnected")
    await expect(page.page.get_by_role("heading", name="Connection", exact=True)).to_be_focused()


async def test_every_view_is_named_and_its_table_has_heads(page: AdminPage) -> None:
    for view in ("Workers", "Connections", "Channels"):
        await page.go(view)
        current = page.page.get_by_role("navigation", name="Views").locator("[aria-current=page]")
        await expect(current).to_have_text(view)
        await expect(page.page.get_by_role("main", name=view)).to_be_visible()
        assert await page.page.title() == f"{view} \u2013 Gateway admin"
        heads = page.page.get_by_role("region").get_by_role("columnheader")
        assert all(await heads.all_inner_texts())
        unnamed = page.page.locator("main:not([hidden])").get_by_role(
            "textbox", name=re.compile("^$")
        )
        assert await unnamed.count() == 0
    assert await page.page.locator("main:not([hidden]) [role=status]").count() == 1


async def test_what_redis_consists_of_is_told_in_words(page: AdminPage) -> None:
    well = {"redis": "ok", "probeSeconds": 0.2, "mastersAway": 0, "sentinelsAway": 0}
    states = [
        {**well, "slotsUncovered": 0},
        {**well, "slotsUncovered": 0, "mastersAway": 1, "sentinelsAway": 2},
        {**well, "slotsUncovered": 5461},
        {**well, "slotsUncovered": 0, "redis": "lost"},
    ]

    assert await page.page.evaluate("(states) => states.map(redisOf)", states) == [
        "ok, heard 0.2 s ago",
        "1 master away, 2 Sentinels away, heard 0.2 s ago",
        "5461 slots without a master, heard 0.2 s ago",
        "lost",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_can_be_read_on_a_phone(
    browser: Browser, served: Served, scheme: Literal["light", "dark"]
) -> None:
    async with (
        raw_websocket(served.port, "/communicate?" + "a" * 90),
        admin_page(
            browser, admin_url(served), viewport=PHONE, color_scheme=scheme, reduced_motion="reduce"
        ) as page,
    ):
        assert await page.faint_texts(at_least=4) == []
        await page.unlock(KEY)
        await page.is_("Live")
        await expect(page.table("workers")).to_have_count(2, timeout=WITHIN_MS)
        assert await page.faint_texts() == []
        for view in ("Connections", "Channels"):
            await page.go(view)
            assert await page.faint_texts(at_least=10) == []
            assert await page.overflow_px() <= 0
        await page.go("Connections")
        await page.row("connections", "aaaa").get_by_role("link").first.click()
        await expect(page.particular("User")).to_contain_text("aaaa", timeout=WITHIN_MS)
        assert await page.faint_texts(at_least=20) == []
        assert await page.overflow_px() <= 0
