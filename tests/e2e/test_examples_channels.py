"""The examples of channels, each run for real as its README says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from centrifuge import (
    Client,
    ClientEventHandler,
    PublicationContext,
    ReplyError,
    SubscriptionEventHandler,
    UnsubscribedContext,
)
from playwright.async_api import Page, expect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.browser import WITHIN_MS, chromium
from tests.support.examples import EXAMPLES, connected
from tests.support.serve import Served
from tests.support.waiting import eventually

CHAT = EXAMPLES / "chat"
LIVE = EXAMPLES / "live-score"
SECRET = "of the tests, 32 bytes and a few more"
RETURN_MS = 3 * WITHIN_MS  # a worker is replaced, and clients wait a random time


# Rooms to talk in


class BelowChat(Served):
    readiness = "/chat/readyz"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/chat/communicate"

    @property
    def sdk_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/chat/connection/websocket"


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BelowChat]:
    options = ("--config", "gateway.toml", "--workers", "2")
    environment = {"GATEWAY_TOKEN_HMAC_SECRET_KEY": SECRET}
    folder = tmp_path_factory.mktemp("chat")
    served = BelowChat(folder, *options, cwd=CHAT, environment=environment)
    with served:
        yield served


def token(served: Served, user: str) -> str:
    request = urllib.request.Request(
        f"{served.url}/token",
        data=json.dumps({"user": user}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer))


def as_text(served: BelowChat, user: str, room: str) -> Any:
    """A text client in a room."""
    return connected(f"{served.ws_url}?room={room}&token={token(served, user)}")


class Heard(SubscriptionEventHandler):  # type: ignore[misc]  # the package has no types
    def __init__(self) -> None:
        self.said: list[Any] = []
        self.refused: list[tuple[int, str]] = []

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.said.append(ctx.pub.data)

    async def on_unsubscribed(self, ctx: UnsubscribedContext) -> None:
        self.refused.append((ctx.code, ctx.reason))


@asynccontextmanager
async def as_sdk(served: BelowChat, user: str) -> AsyncIterator[Client]:
    client = Client(served.sdk_url, token=token(served, user), events=ClientEventHandler())
    await client.connect()
    try:
        await client.ready(timeout=10)
        yield client
    finally:
        before = asyncio.all_tasks()
        await client.disconnect()
        if closing := asyncio.all_tasks() - before:  # its socket, which it does not wait for
            await asyncio.wait(closing, timeout=10)


async def test_text_clients_and_an_sdk_talk_in_one_room(chat: BelowChat) -> None:
    async with as_text(chat, "ann", "tea") as ann, as_sdk(chat, "ben") as ben, asyncio.timeout(30):
        heard = Heard()
        room = ben.new_subscription("room:tea", events=heard)
        await room.subscribe()
        await room.ready(timeout=10)
        await ann.send("/who")
        assert await ann.recv() == "here: ann, ben"

        await ann.send("a coffee, please")
        assert await ann.recv() == "ann: a tea, please"
        await room.publish("with milk?")
        assert await ann.recv() == "ben: with milk?"

        said = ["ann: a tea, please", "ben: with milk?"]
        await eventually(lambda: heard.said == said, "both")
        kept = (await room.history(limit=-1)).publications
        assert [each.data for each in kept][-2:] == said


async def test_hooks_say_who_may_enter_and_what_may_be_said(chat: BelowChat) -> None:
    async with as_sdk(chat, "eve") as eve:
        heard = Heard()
        board = eve.new_subscription("room:board", events=heard)
        await board.subscribe()
        await eventually(lambda: heard.refused == [(103, "this room is not for you")], "no")

        tea = eve.new_subscription("room:tea", events=Heard())
        await tea.subscribe()
        await tea.ready(timeout=10)
        for wrong in ("", "x" * 501, {"text": "hello"}):
            with pytest.raises(ReplyError) as refused:
                await tea.publish(wrong)
            assert refused.value.code == 400
        with pytest.raises(ReplyError) as refused:
            await eve.publish("room:board", "hello from outside")
        assert refused.value.code == 400


async def test_a_text_client_is_refused_where_a_hook_would_refuse_it(chat: BelowChat) -> None:
    for room in ("board", "attic"):
        async with as_text(chat, "eve", room) as eve, asyncio.timeout(10):
            with pytest.raises(ConnectionClosed):
                await eve.recv()
        assert (eve.close_code, eve.close_reason) == (4503, "this room is not for you")


async def test_without_a_token_nobody_is_let_in(chat: BelowChat) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connected(f"{chat.ws_url}?room=tea"):
            pass

    assert refused.value.response.status_code == 401


async def enter(page: Page, chat: BelowChat, user: str, room: str) -> None:
    await page.goto(chat.url)
    await page.get_by_label("Your name").fill(user)
    await page.get_by_label("Room").select_option(room)
    await page.get_by_role("button", name="Enter").click()


async def test_two_browsers_in_a_room_see_each_other_and_recover(chat: BelowChat) -> None:
    async with chromium() as browser:
        ann, bob = await browser.new_page(), await browser.new_page()
        for page, user in ((ann, "ann"), (bob, "bob")):
            await enter(page, chat, user, "board")
            await expect(page.get_by_role("status")).to_have_text("live", timeout=WITHIN_MS)
        for page in (ann, bob):
            await expect(page.get_by_label("Who is here")).to_have_text(
                "ann, bob", timeout=WITHIN_MS
            )
        await ann.get_by_label("Say").fill("order!")
        await ann.get_by_role("button", name="Say").click()
        said = bob.get_by_role("log").locator("li")
        await expect(said.last).to_have_text("ann: order!", timeout=WITHIN_MS)

        for worker in chat.worker_pids():  # both: whoever holds them
            os.kill(worker, signal.SIGKILL)
        async with as_text(chat, "ann", "board") as phone:
            await phone.send("are you there?")
            await expect(said.last).to_have_text("ann: are you there?", timeout=RETURN_MS)
        assert await said.all_inner_texts() == ["ann: order!", "ann: are you there?"]
        await expect(bob.get_by_label("Who is here")).to_have_text("ann, bob", timeout=RETURN_MS)


async def test_who_is_refused_at_a_room_does_not_see_who_is_in_the_last_one(
    chat: BelowChat,
) -> None:
    async with chromium() as browser:
        page = await browser.new_page()
        await enter(page, chat, "eve", "tea")
        who = page.get_by_label("Who is here")
        await expect(who).to_have_text("eve", timeout=WITHIN_MS)
        await page.get_by_label("Room").select_option("board")
        await page.get_by_role("button", name="Enter").click()

        refused = page.get_by_role("status")
        await expect(refused).to_have_text("this room is not for you", timeout=WITHIN_MS)
        await expect(who).to_have_text("")


async def test_a_browser_is_told_that_a_line_may_not_have_been_said(chat: BelowChat) -> None:
    async with chromium() as browser:
        page = await browser.new_page()
        await enter(page, chat, "ann", "tea")
        await expect(page.get_by_role("status")).to_have_text("live", timeout=WITHIN_MS)
        workers = chat.worker_pids()
        for worker in workers:  # both: whoever holds it
            os.kill(worker, signal.SIGSTOP)
        try:
            await page.get_by_label("Say").fill("lost?")
            await page.get_by_role("button", name="Say").click()
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)

        told = page.get_by_role("log").get_by_text("\u201clost?\u201d may have been said or not.")
        await expect(told).to_be_visible(timeout=RETURN_MS)


@pytest.mark.parametrize("given", [["final"], ["final", "x", "23", "Ann", "1:0"]])
def test_goal_says_its_usage_to_wrong_arguments(given: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "goal.py", *given], cwd=LIVE,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    usage = "usage: goal.py MATCH NUMBER MINUTE SCORER SCORE, as in: final 1 23 Ann 1:0\n"
    assert (run.returncode, run.stderr) == (1, usage)


async def test_a_browser_is_told_that_a_room_is_not_for_it(chat: BelowChat) -> None:
    async with chromium() as browser:
        page = await browser.new_page()
        await enter(page, chat, "eve", "board")

        await expect(page.get_by_role("status")).to_have_text(
            "this room is not for you", timeout=WITHIN_MS
        )


# A match to follow


class BelowLive(Served):
    readiness = "/live/readyz"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/live/communicate"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[BelowLive]:
    options = ("--config", "gateway.toml", "--workers", "2")
    served = BelowLive(tmp_path, *options, cwd=LIVE)
    with served:
        yield served


def goal(served: BelowLive, *what: str) -> str:
    """Run the backend's script where it finds this gateway."""
    run = subprocess.run(
        [sys.executable, "goal.py", "final", *what], cwd=LIVE, env=served.environment,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


async def test_viewers_that_were_away_recover_the_goals(live: BelowLive) -> None:
    async with chromium() as browser, connected(f"{live.ws_url}?match=final") as text:
        page = await browser.new_page()
        await page.goto(live.url)
        goals = page.get_by_role("log").locator("li")
        state = page.get_by_role("status")
        await expect(state).to_have_text("live", timeout=WITHIN_MS)
        await text.send("so far?")
        assert await text.recv() == "no goals yet"

        assert await asyncio.to_thread(goal, live, "1", "12", "Ann", "1:0") == "goal 1\n"
        again = await asyncio.to_thread(goal, live, "1", "12", "Ann", "1:0")
        assert again == "goal 1, published before\n"
        await expect(goals.last).to_have_text("12' Ann 1:0", timeout=WITHIN_MS)

        await page.get_by_role("button", name="Look away").click()
        await asyncio.to_thread(goal, live, "2", "40", "Eve", "1:1")
        await page.get_by_role("button", name="Look again").click()
        await expect(goals.last).to_have_text(
            "40' Eve 1:1 (while you were away)", timeout=WITHIN_MS
        )

        for worker in live.worker_pids():  # both: whoever holds it
            os.kill(worker, signal.SIGKILL)
        await asyncio.to_thread(goal, live, "3", "88", "Bob", "2:1")
        await expect(page.get_by_role("heading")).to_have_text("2:1", timeout=RETURN_MS)
        assert len(await goals.all_inner_texts()) == 3

        assert [json.loads(await text.recv()) for _ in range(2)] == [
            {"minute": 12, "scorer": "Ann", "score": "1:0"},
            {"minute": 40, "scorer": "Eve", "score": "1:1"},
        ]
    async with connected(f"{live.ws_url}?match=final") as text:
        await text.send("so far?")
        assert [json.loads(line)["minute"] for line in str(await text.recv()).split("\n")] == [
            12, 40, 88,
        ]  # fmt: skip


async def test_a_page_that_comes_late_has_every_goal(live: BelowLive) -> None:
    await asyncio.to_thread(goal, live, "1", "12", "Ann", "1:0")
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(live.url)

        await expect(page.get_by_role("log").locator("li")).to_have_text(
            ["12' Ann 1:0"], timeout=WITHIN_MS
        )


async def test_a_match_that_cannot_be_is_refused(live: BelowLive) -> None:
    async with connected(f"{live.ws_url}?match=%C3%A9") as text, asyncio.timeout(10):
        with pytest.raises(ConnectionClosed):
            await text.recv()

    assert (text.close_code, text.close_reason) == (4504, "no such match")
