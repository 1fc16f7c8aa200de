"""The view Room: how it looks, how it is reached, and what is read out, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize, expect

from tests.support.browser import DESK, PHONE, self_signed
from tests.support.room_page import RoomPage, room_page
from tests.support.scripted_rooms import Client, ScriptedRooms, said, scripted_rooms

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOB = "c" * 16 + ".3f9a" + "y" * 18
LONG = "a long line " * 20


@pytest_asyncio.fixture(loop_scope="module")
async def rooms() -> AsyncIterator[ScriptedRooms]:
    async with scripted_rooms() as serving:
        yield serving


async def everything(page: RoomPage, rooms: ScriptedRooms) -> Client:
    """Show every kind of row, and every fact."""
    await page.go_in("Ann " + "n" * 36)
    client = await rooms.client()
    await client.connected()
    await client.subscribed(offset=1)
    await client.present(BOB)
    await client.history(said("first", 1, client=BOB, name="Bob"))
    own = {"client": client.id, "user": ""}
    await client.push(pub={"data": {"name": "Ann", "text": LONG}, "offset": 2, "info": own})
    await client.push(pub={"data": {"text": "w" * 500}, "offset": 3})
    await client.close(3001, "drain")
    again = await rooms.client()
    await again.connected()
    missed = [said("missed", 4, client=BOB)]
    await again.subscribed(was_recovering=True, recovered=True, publications=missed)
    await again.present(BOB)
    await again.push(join={"info": {"client": "d" * 16 + ".dada", "user": ""}})
    await page.told("guest dada came")
    return again


@pytest.mark.parametrize("viewport", [DESK, PHONE])
async def test_nothing_moves_while_a_room_is_entered_and_talks(
    browser: Browser, rooms: ScriptedRooms, viewport: ViewportSize
) -> None:
    phone = viewport is PHONE
    async with room_page(browser, rooms.url, viewport=viewport, is_mobile=phone) as page:
        again = await everything(page, rooms)
        for number in range(5, 45):
            await again.push(pub=said(LONG[:number], number, client=BOB))
        await page.hears(LONG[:44])
        await page.page.get_by_role("button", name="Leave").click()
        await page.is_("Not in a room")

        assert await page.layout_shifts() == []


@pytest.mark.parametrize("viewport", [DESK, PHONE])
async def test_nothing_moves_when_views_are_switched(
    browser: Browser, rooms: ScriptedRooms, viewport: ViewportSize
) -> None:
    phone = viewport is PHONE
    async with room_page(browser, rooms.url, viewport=viewport, is_mobile=phone) as page:
        for name in ("Echo", "Room", "Echo"):
            await page.page.get_by_role("link", name=name).click()
            await expect(page.page.get_by_role("main", name=name)).to_be_visible()

        assert await page.page.evaluate("scrollY") == 0
        assert await page.layout_shifts() == []


async def test_a_page_does_not_grow_with_its_lines(browser: Browser, rooms: ScriptedRooms) -> None:
    """Red while what is unseen in each row stood below the last one that is seen."""
    async with room_page(browser, rooms.url) as page:
        await everything(page, rooms)
        await page.page.evaluate("for (let n = 0; n < 60; n += 1) showRoomNotice('one more')")

        height = await page.page.evaluate("document.documentElement.scrollHeight")
        assert height <= DESK["height"]


async def test_nothing_needs_sideways_scrolling_on_a_phone(
    browser: Browser, rooms: ScriptedRooms
) -> None:
    async with room_page(browser, rooms.url, viewport=PHONE, is_mobile=True) as page:
        await everything(page, rooms)

        widths = await page.page.evaluate(
            """[...document.querySelectorAll('html, main *:not(.unseen)')]
               .filter((e) => getComputedStyle(e).textOverflow !== "ellipsis")
               .map((e) => e.scrollWidth)"""
        )
        assert max(widths) <= PHONE["width"]


@pytest.mark.parametrize("height", [480, 568])
async def test_the_field_is_in_sight_on_the_smallest_phone(
    browser: Browser, rooms: ScriptedRooms, height: int
) -> None:
    viewport = {"width": 320, "height": height}
    async with room_page(browser, rooms.url, viewport=viewport, is_mobile=True) as page:
        await everything(page, rooms)
        await page.page.evaluate("scrollTo(0, 0)")
        box = await page.page.get_by_label("What you say").bounding_box()

        assert box is not None
        assert box["y"] + box["height"] <= height
        assert await page.page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_what_is_behind_it(
    browser: Browser, rooms: ScriptedRooms, scheme: str
) -> None:
    async with room_page(browser, rooms.url, color_scheme=scheme) as page:
        await everything(page, rooms)
        await page.page.locator("#said").focus()  # away from the field, which hides its placeholder
        faint = await page.faint_texts()
        for state in ("connecting", "entering", "in", "waiting", "out"):
            await page.page.evaluate(f"showRoomState('{state}', 'detail')")
            faint += await page.faint_texts()
        await page.page.evaluate("leaveRoom('This server does not let you in')")
        faint += await page.faint_texts(at_least=5)

        assert faint == []


# By keyboard, and read out


async def test_the_room_is_reached_and_left_by_keyboard_alone(
    browser: Browser, rooms: ScriptedRooms
) -> None:
    async with room_page(browser, rooms.url, fragment="") as page:
        press, type_ = page.page.keyboard.press, page.page.keyboard.type
        await expect(page.fact("state")).to_have_text("Connected")
        await page.page.get_by_role("link", name="Echo").focus()
        await press("Tab")
        await press("Enter")
        await expect(page.page.get_by_label("Your name")).to_be_focused()
        stops = [await page.focused()]
        await type_("Ann")
        await press("Enter")
        client = await rooms.entering()
        await page.is_("In the room")
        await type_("hello")
        await press("Enter")
        assert (await client.command("publish"))["data"]["text"] == "hello"
        for _ in range(4):
            stops.append(await page.focused())
            await press("Shift+Tab")
        await press("Enter")  # the link Room, from which nothing happens
        await page.is_("In the room")
        await press("Tab")
        await press("Enter")
        await page.is_("Not in a room")

        names = ["name", "words", "here", "said", "leave"]
        assert stops == [(name, True) for name in names]


async def test_the_address_says_which_view_is_shown(browser: Browser, rooms: ScriptedRooms) -> None:
    async with room_page(browser, rooms.url) as page:
        main = page.page.get_by_role("main")
        await expect(main).to_have_accessible_name("Room")
        await expect(page.page).to_have_title("Room \u2013 Gateway")
        assert not any(url.endswith("/communicate") for url in page.asked)

        await page.page.get_by_role("link", name="Echo").click()
        await expect(main).to_have_accessible_name("Echo")
        await expect(page.page).to_have_title("Gateway")
        await expect(page.line).to_be_focused()
        await page.becomes("Connected")
        current = page.page.locator("nav [aria-current=page]")
        await expect(current).to_have_text("Echo")

        await page.page.go_back()
        await expect(main).to_have_accessible_name("Room")
        await expect(current).to_have_text("Room")


async def test_a_room_goes_on_while_the_other_view_is_shown(
    browser: Browser, rooms: ScriptedRooms
) -> None:
    async with room_page(browser, rooms.url) as page:
        await page.go_in()
        client = await rooms.entering()
        await page.is_("In the room")
        await page.page.get_by_role("link", name="Echo").click()
        await client.push(pub=said("meanwhile", 1))
        await page.page.get_by_role("link", name="Room").click()

        await page.hears("meanwhile")
        await expect(page.page.get_by_label("What you say")).to_be_focused()


async def test_what_happens_in_a_room_is_read_out(browser: Browser, rooms: ScriptedRooms) -> None:
    async with room_page(browser, rooms.url) as page:
        await everything(page, rooms)

        log = page.page.get_by_role("log", name="What is said")
        await expect(log).to_have_attribute("aria-live", "polite")
        spoken = await log.locator("li").all_text_contents()
        assert [text.split(" ")[0] for text in spoken] == [
            "Said:", "Said:", "Said:", "Note:", "Note:", "Said:", "Note:"
        ]  # fmt: skip
        await expect(page.page.get_by_role("status")).to_have_text("In the room")
        await expect(page.page.get_by_role("region", name="Here now")).to_be_visible()


async def test_the_console_stays_empty_and_nothing_is_asked_of_others(
    browser: Browser, rooms: ScriptedRooms
) -> None:
    async with room_page(browser, rooms.url) as page:
        await everything(page, rooms)

        assert page.complaints == []
        asked = [url for url in page.asked if not url.startswith("data:")]
        assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{rooms.port}"}


# Where it is served


async def test_a_room_is_found_under_a_prefix(browser: Browser) -> None:
    async with (
        scripted_rooms("/some/where") as rooms,
        room_page(browser, f"{rooms.url}/some/where/") as page,
    ):
        await page.go_in()
        await rooms.entering()

        await page.is_("In the room")


async def test_a_room_behind_tls_uses_tls(browser: Browser, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    async with scripted_rooms(ssl_certfile=certificate, ssl_keyfile=key) as rooms:
        secure = rooms.url.replace("http", "https")
        async with room_page(browser, secure, ignore_https_errors=True) as page:
            await page.go_in()
            await rooms.entering()

            await page.is_("In the room")
            assert f"wss://127.0.0.1:{rooms.port}/connection/websocket" in page.asked


async def test_a_name_of_blanks_is_asked_for_again_and_an_old_refusal_goes(
    browser: Browser, rooms: ScriptedRooms
) -> None:
    async with room_page(browser, rooms.url) as page:
        await page.go_in()
        client = await rooms.client()
        await client.connected()
        await client.refused("subscribe", 103, "permission denied")
        await expect(page.refusal).not_to_be_empty()

        await page.page.get_by_label("Your name").fill("  ")
        await expect(page.refusal).to_be_empty()
        await page.page.get_by_role("button", name="Enter").click()
        assert (await page.focused())[0] == "name"
        await expect(page.page.get_by_label("Your name")).to_have_value("")
