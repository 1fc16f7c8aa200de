"""The view Room in a real browser, against a server that says what the test tells it to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.support.browser import WITHIN_MS
from tests.support.room_page import RoomPage, room_page
from tests.support.scripted_rooms import (
    EPOCH,
    Client,
    ScriptedRooms,
    no_rooms,
    said,
    scripted_rooms,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOB = "c" * 16 + ".3f9a" + "y" * 18


@pytest_asyncio.fixture(loop_scope="module")
async def rooms() -> AsyncIterator[ScriptedRooms]:
    async with scripted_rooms() as serving:
        yield serving


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, rooms: ScriptedRooms) -> AsyncIterator[RoomPage]:
    async with room_page(browser, rooms.url) as opened:
        yield opened


async def entered(page: RoomPage, rooms: ScriptedRooms, *, offset: int = 0) -> Client:
    """Go into a room in which nothing was said before, or whose history is yet to be answered."""
    await page.go_in()
    client = await rooms.entering(offset=offset)
    await page.is_("In the room")
    return client


# Entering


async def test_entering_tells_a_name_and_asks_for_what_a_room_has(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    await page.go_in("Ann", "room:tea")
    client = await rooms.client()
    hello = await client.connected()
    asked = await client.subscribed(offset=7)
    await client.present()
    history = await client.history()

    assert hello["data"] == {"name": "Ann"}
    assert "token" not in hello
    assert asked["channel"] == "room:tea"
    assert [asked[name] for name in ("positioned", "recoverable", "join_leave")] == [True] * 3
    assert "recover" not in asked
    assert history["since"] == {"offset": 8, "epoch": EPOCH}  # up to where the live ones begin
    assert history["reverse"]
    await expect(page.fact("room-name")).to_have_text("room:tea")
    assert await page.worker() == client.id[:16]


async def test_history_comes_before_what_was_said_while_it_was_read(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    client = await entered(page, rooms, offset=2)
    await client.push(pub=said("third", 3, client=BOB, name="Bob"))
    await client.history(said("second", 2, name="Cid"), said("first", 1))
    await page.hears("third")

    assert await page.lines() == ["guest 3f9a first", "Cid second", "Bob third"]
    marks = await page.said.locator(".meta").all_inner_texts()
    assert marks == ["earlier", "earlier", ""]


async def test_a_line_of_ones_own_comes_back_through_the_room(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    client = await entered(page, rooms)
    await page.says("hello")
    request = await client.command("publish")
    await client.send({"id": request["id"], "publish": {}})
    assert request["data"] == {"name": "Ann", "text": "hello"}
    assert await page.lines() == []

    await client.push(pub={"data": request["data"], "offset": 1, "info": {"client": client.id}})

    own = await page.hears("Ann hello")
    await expect(own).to_have_class("said own")
    await expect(page.page.get_by_label("What you say")).to_have_value("")


async def test_a_token_in_the_address_goes_into_the_connect_command(
    browser: Browser, rooms: ScriptedRooms
) -> None:
    async with room_page(browser, f"{rooms.url}/?token=abc") as page:
        await page.go_in()
        client = await rooms.client()

        assert (await client.connected())["token"] == "abc"


@pytest.mark.parametrize(
    ("code", "message", "says"),
    [
        (102, "unknown channel", "no such namespace"),
        (103, "permission denied", "does not let you into room:lobby"),
        (108, "not available", "has no rooms"),
    ],
)
async def test_a_room_that_is_not_to_be_had_is_said_plainly(
    page: RoomPage, rooms: ScriptedRooms, code: int, message: str, says: str
) -> None:
    await page.go_in()
    client = await rooms.client()
    await client.connected()
    await client.refused("subscribe", code, message)

    await page.is_("Not in a room")
    await expect(page.refusal).to_contain_text(says)
    await expect(page.refusal).to_contain_text(f"({code} {message})")
    assert await page.focused() == ("channel", True)


async def test_a_server_without_the_endpoint_is_said_to_have_no_rooms(browser: Browser) -> None:
    async with no_rooms() as url, room_page(browser, url) as page:
        await page.go_in()

        await expect(page.refusal).to_contain_text("This server has no rooms", timeout=WITHIN_MS)


async def test_who_is_refused_may_go_into_another_room(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    await page.go_in("Ann", "nothere:1")
    client = await rooms.client()
    await client.connected()
    await client.refused("subscribe", 102, "unknown channel")
    await page.is_("Not in a room")

    await page.go_in("Ann", "room:lobby")
    await rooms.entering()

    await page.is_("In the room")


# Who is here


async def test_who_is_here_comes_from_presence_joins_and_leaves(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    await page.go_in()
    client = await rooms.client()
    await client.connected()
    own = {"push": {"channel": "room:lobby", "join": {"info": {"client": client.id, "user": ""}}}}
    await client.subscribed(own)
    await client.present(BOB)
    await page.sees("Ann", "guest 3f9a")

    await client.push(join={"info": {"client": "d" * 16 + ".dada", "user": ""}})
    await page.sees("Ann", "guest 3f9a", "guest dada")
    await client.push(pub=said("hi", 1, client=BOB, name="Bob"))
    await page.sees("Ann", "Bob", "guest dada")
    await client.push(leave={"info": {"client": "d" * 16 + ".dada", "user": ""}})
    await page.sees("Ann", "Bob")

    await page.told("guest dada came")
    await page.told("guest dada left")
    assert await page.page.locator("#said .notice").filter(has_text="Ann").count() == 0


async def test_who_leaves_while_presence_is_asked_for_is_not_shown(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    await page.go_in()
    client = await rooms.client()
    await client.connected()
    await client.subscribed()
    request = await client.command("presence")
    newcomer = {"client": "d" * 16 + ".dada", "user": ""}
    await client.push(leave={"info": {"client": BOB, "user": ""}})
    await client.push(join={"info": newcomer})
    stale = {name: {"client": name, "user": ""} for name in (client.id, BOB)}
    await client.send({"id": request["id"], "presence": {"presence": stale}})

    await page.sees("Ann", "guest dada")


async def test_a_name_that_the_server_vouches_for_wins(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    client = await entered(page, rooms)
    vouched = {"client": BOB, "user": "7", "conn_info": {"name": "Robert"}}
    await client.push(join={"info": vouched})
    await client.push(pub={"data": {"name": "Ann", "text": "hi"}, "offset": 1, "info": vouched})

    await page.hears("Robert hi")
    await page.sees("Ann", "Robert")


async def test_where_presence_is_not_told_the_page_says_so(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    await page.go_in()
    client = await rooms.client()
    await client.connected()
    await client.subscribed()
    await client.refused("presence", 108, "not available")

    await page.told("Who is here is not told: not available")
    await page.is_("In the room")


# What others send


@pytest.mark.parametrize(
    ("published", "shown"),
    [
        ("a text", "the server a text"),
        ({"score": [1, 2]}, 'the server {"score":[1,2]}'),
        (None, "the server null"),
        ({"name": "<b>Eve</b>", "text": "<img src=x onerror=alert(1)>"}, "<b>Eve</b> <img src=x"),
        ({"name": "n" * 500, "text": "long"}, "n" * 40 + " long"),
    ],
)
async def test_whatever_is_published_is_shown_as_text(
    page: RoomPage, rooms: ScriptedRooms, published: object, shown: str
) -> None:
    client = await entered(page, rooms)
    await client.push(pub={"data": published, "offset": 1})

    await page.hears(shown)
    assert await page.page.locator("#said img, #said b").count() == 0
    assert page.complaints == []


# What happens when the connection ends


async def test_lines_are_recovered_and_the_page_says_how_many(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    client = await entered(page, rooms)
    await client.push(pub=said("first", 1, client=BOB))
    await page.hears("first")
    await client.close(3001, "drain")

    again = await rooms.client()
    await again.connected()
    missed = [said("second", 2, client=BOB), said("third", 3, client=BOB)]
    asked = await again.subscribed(
        offset=1, was_recovering=True, recovered=True, publications=missed
    )
    await again.present()

    assert (asked["recover"], asked["epoch"], asked["offset"]) == (True, EPOCH, 1)
    await page.told("its worker is leaving (3001 drain)")
    await page.told("2 lines recovered, nothing was missed")
    await expect(page.fact("room-recovery")).to_have_text("2 lines recovered")
    assert [line.split()[-1] for line in await page.lines()] == ["first", "second", "third"]
    assert await page.said.locator(".meta").all_inner_texts() == ["", "recovered", "recovered"]
    assert await page.worker() == again.id[:16] != client.id[:16]


async def test_the_next_recovery_begins_at_the_last_line_recovered(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    await (await entered(page, rooms)).close(3001, "drain")
    again = await rooms.client()
    await again.connected()
    missed = [said("first", 1), said("second", 2)]
    await again.subscribed(was_recovering=True, recovered=True, publications=missed)
    await page.hears("second")
    await again.close(3001, "drain")

    third = await rooms.client()
    await third.connected()

    assert (await third.subscribed(offset=2))["offset"] == 2


async def test_lines_that_cannot_be_recovered_are_said_to_be_missed(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    await (await entered(page, rooms)).close(3001, "drain")
    again = await rooms.client()
    await again.connected()
    await again.subscribed(offset=500, was_recovering=True, recovered=False, epoch="epochtwo")

    await page.told("Back in the room: some lines were missed")
    await again.push(pub=said("live", 501))
    await page.hears("live")
    await again.close(3001, "drain")
    third = await rooms.client()
    await third.connected()
    asked = await third.command("subscribe")
    assert (asked["epoch"], asked["offset"]) == ("epochtwo", 501)


async def test_our_connection_that_has_ended_is_not_shown_as_somebody_else(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    """The server keeps the dead for some seconds, and then tells of their leave."""
    client = await entered(page, rooms)
    await client.close(3001, "drain")
    again = await rooms.client()
    await again.connected()
    await again.subscribed(was_recovering=True, recovered=True)
    await again.present(client.id, BOB)

    await page.sees("Ann", "guest 3f9a")
    await again.push(leave={"info": {"client": client.id, "user": ""}})
    await again.push(leave={"info": {"client": BOB, "user": ""}})
    await page.told("guest 3f9a left")
    assert await page.page.locator("#said .notice").filter(has_text="Ann left").count() == 0


async def test_a_line_said_without_a_connection_stays_in_its_field(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    await (await entered(page, rooms)).close(3001, "drain")
    await rooms.client()  # which does not answer
    await page.says("hello")

    await page.told("The line was not sent: not connected")
    await expect(page.page.get_by_label("What you say")).to_have_value("hello")


async def test_a_line_whose_answer_is_lost_is_not_said_to_be_lost(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    client = await entered(page, rooms)
    await page.says("hello")
    await client.command("publish")
    await client.close(3001, "drain")

    await page.told("\u201chello\u201d may have been said or not")
    await expect(page.page.get_by_label("What you say")).to_have_value("")


async def test_a_line_that_is_refused_is_given_back(page: RoomPage, rooms: ScriptedRooms) -> None:
    client = await entered(page, rooms)
    await page.says("hello")
    await client.refused("publish", 103, "permission denied")

    await page.told("The line was not sent: permission denied")
    await expect(page.page.get_by_label("What you say")).to_have_value("hello")


async def test_a_line_that_ends_the_stay_since_it_is_too_long_is_given_back(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    client = await entered(page, rooms)
    await page.says("hello")
    await client.command("publish")
    await client.close(1009, "too big")

    await page.is_("Not in a room")
    await entered(page, rooms)
    await expect(page.page.get_by_label("What you say")).to_have_value("hello")


@pytest.mark.parametrize(
    ("code", "reason"), [(3500, "invalid token"), (3503, "disconnected"), (4999, "enough")]
)
async def test_a_close_that_forbids_to_come_back_leads_out(
    page: RoomPage, rooms: ScriptedRooms, code: int, reason: str
) -> None:
    client = await entered(page, rooms)
    await client.close(code, reason)

    await page.is_("Not in a room")
    await expect(page.refusal).to_contain_text(f"({code} {reason})")


async def test_leaving_closes_the_connection_and_leads_back_to_the_name(
    page: RoomPage, rooms: ScriptedRooms
) -> None:
    client = await entered(page, rooms)
    await page.page.get_by_role("button", name="Leave").click()

    await page.is_("Not in a room")
    assert (await page.focused())[0] == "name"
    await client.ended()
    assert await page.refusal.inner_text() == ""
