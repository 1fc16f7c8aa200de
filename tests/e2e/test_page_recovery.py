"""Rooms of real workers in a real browser: two windows, two workers, and one that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser import WITHIN_MS
from tests.support.room_page import RoomPage, room_page
from tests.support.serve import Served
from tests.support.shipped_rooms import TRYING_OUT
from tests.support.waiting import blocking_eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRIES = 40  # the kernel picks a worker for each socket
LEASE_ENDED_MS = 20_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers, with the rooms that ``make run`` has."""
    folder = tmp_path_factory.mktemp("served")
    with Served(folder, "--workers", "2", environment=TRYING_OUT) as running:
        yield running


@asynccontextmanager
async def two_windows(
    browser: Browser, served: Served, channel: str
) -> AsyncIterator[tuple[RoomPage, RoomPage]]:
    """Ann and Bob in one room, at two workers."""
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(room_page(browser, f"{served.url}/"))
        await ann.go_in("Ann", channel)
        await ann.is_("In the room")
        bob = await stack.enter_async_context(room_page(browser, f"{served.url}/"))
        for _ in range(TRIES):
            await bob.go_in("Bob", channel)
            await bob.is_("In the room")
            if await bob.worker() != await ann.worker():
                break
            await bob.page.get_by_role("button", name="Leave").click()
        assert await bob.worker() != await ann.worker(), "both windows at one worker"
        yield ann, bob


def pid_of(served: Served, worker: str) -> int:
    rows = [json.loads(row) for row in served.command("workers", "--json").stdout.splitlines()]
    return next(row["pid"] for row in rows if row["worker"] == worker)


async def test_two_windows_on_two_workers_hear_and_see_each_other(
    browser: Browser, served: Served
) -> None:
    async with two_windows(browser, served, "room:both") as (ann, bob):
        await ann.sees("Ann", "guest")
        await ann.says("hello Bob")
        await bob.hears("Ann hello Bob")
        await bob.says("hello Ann")
        await ann.hears("Bob hello Ann")

        for page in (ann, bob):
            assert await page.lines() == ["Ann hello Bob", "Bob hello Ann"]
            await page.sees("Ann", "Bob")
        await bob.page.get_by_role("button", name="Leave").click()
        await ann.told("Bob left")
        await ann.sees("Ann")
        assert ann.complaints == bob.complaints == []


async def test_who_enters_later_reads_what_was_said(browser: Browser, served: Served) -> None:
    async with room_page(browser, f"{served.url}/") as ann:
        await ann.go_in("Ann", "room:early")
        await ann.is_("In the room")
        for number in range(1, 4):
            await ann.says(f"line {number}")
            await ann.hears(f"line {number}")
        async with room_page(browser, f"{served.url}/") as bob:
            await bob.go_in("Bob", "room:early")
            await bob.hears("line 3")

            assert await bob.lines() == [f"Ann line {number}" for number in range(1, 4)]
            await bob.sees("Ann", "Bob")


async def test_the_window_of_a_killed_worker_recovers_each_line_once(
    browser: Browser, served: Served
) -> None:
    async with two_windows(browser, served, "room:kill") as (ann, bob):
        await ann.says("before")
        await bob.hears("before")
        victim = await bob.worker()
        saying = asyncio.create_task(count_aloud(ann))
        await bob.hears("line 5")

        os.kill(pid_of(served, victim), signal.SIGKILL)

        await bob.told("its worker or the network went away (1006)")
        await bob.told("nothing was missed")
        assert await bob.worker() != victim
        saying.cancel()
        with suppress(asyncio.CancelledError):
            await saying
        await ann.says("after")
        await ann.hears("after")
        await bob.hears("after")

        assert await bob.lines() == await ann.lines()
        lines = await ann.lines()
        assert lines == sorted(set(lines), key=lines.index)
        assert len(lines) >= 7
        await expect(ann.page.locator("#here-count")).to_have_text("2", timeout=LEASE_ENDED_MS)
        await ann.sees("Ann", "guest")
    blocking_eventually(lambda: len(served.worker_pids()) == 2, "the worker's successor", 15.0)


async def count_aloud(page: RoomPage) -> None:
    """Say line 1, line 2, ... each once the one before is heard."""
    number = 0
    while True:
        number += 1
        await page.says(f"line {number}.")
        await expect(page.said.last).to_contain_text(f"line {number}.", timeout=WITHIN_MS)


async def test_a_room_without_a_namespace_is_refused_plainly(
    browser: Browser, served: Served
) -> None:
    async with room_page(browser, f"{served.url}/") as page:
        await page.go_in("Ann", "elsewhere:lobby")

        await expect(page.refusal).to_contain_text("no such namespace", timeout=WITHIN_MS)


async def test_without_the_setting_nobody_gets_in_without_a_token(
    browser: Browser, tmp_path: Path
) -> None:
    with Served(tmp_path) as closed:
        async with room_page(browser, f"{closed.url}/") as page:
            await page.go_in()

            await page.is_("Not in a room")
            await expect(page.refusal).to_contain_text("(3501 bad request)")
