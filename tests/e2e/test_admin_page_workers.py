"""Workers that leave, stand still and die under the eyes of the admin page."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from tests.support.admin_page import AdminPage, admin_page, admin_url
from tests.support.browser import WITHIN_MS
from tests.support.rawclient import raw_websocket
from tests.support.serve import Served
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "the-key"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("admin")
    variables = {
        "GATEWAY_ADMIN_BIND": "127.0.0.1:0",
        "GATEWAY_API_KEYS": KEY,
        "WATCHED_RELEASE": str(folder / "release"),
    }
    app = "tests.support.apps.watched:gateway"
    with Served(folder, app, "--workers", "2", environment=variables) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, served: Served) -> AsyncIterator[AdminPage]:
    """The page, unlocked and live. Its socket may be held by the worker that has trouble."""
    async with admin_page(browser, admin_url(served)) as opened:
        await opened.unlock(KEY)
        await opened.is_("Live")
        yield opened
        await opened.is_("Live")


def released(served: Served) -> Path:
    """The file that its application waits for."""
    return Path(served.environment["WATCHED_RELEASE"])


@asynccontextmanager
async def held_worker(page: AdminPage, served: Served) -> AsyncIterator[tuple[int, Locator]]:
    """A worker with a client that is served, and whose end is handled, once this is left.

    Its pid, and its row of the page.
    """
    released(served).unlink(missing_ok=True)
    try:
        async with raw_websocket(served.port, "/communicate?held") as client:
            client.say("hold")
            await page.go("Connections")
            shown = page.row("connections", "held")

            async def found() -> int:
                await page.search(user="held")
                return await shown.count()

            await eventually_async(found, "its entry in the registry")
            worker = await page.cell(shown, "Worker")
            await page.go("Workers")
            row = page.row("workers", worker)
            await expect(row).to_contain_text("ok, heard", timeout=WITHIN_MS)
            [pid] = re.findall(r"\((\d+)\)", await page.cell(row, "Host"))
            yield int(pid), row
    finally:
        released(served).touch()


async def test_a_worker_that_leaves_is_shown_as_leaving_until_it_has_left(
    page: AdminPage, served: Served
) -> None:
    news = page.page.locator("#workers-news")
    async with held_worker(page, served) as (pid, row):
        os.kill(pid, signal.SIGTERM)

        await expect(row).to_contain_text("leaving", timeout=WITHIN_MS)
        await expect(news).to_have_text("2 workers, 1 leaving", timeout=WITHIN_MS)
        assert await page.faint_texts() == []
    await expect(row).to_be_hidden(timeout=WITHIN_MS)
    await expect(news).to_have_text("2 workers", timeout=WITHIN_MS)


async def test_a_worker_that_stands_still_is_silent_then_fenced_until_it_is_swept(
    page: AdminPage, served: Served
) -> None:
    """Also where the page's own socket is held by that worker: it is heard no more."""
    news = page.page.locator("#workers-news")
    async with held_worker(page, served) as (pid, row):
        os.kill(pid, signal.SIGSTOP)
        try:
            await expect(row).to_contain_text("silent", timeout=WITHIN_MS)
            await expect(row).to_contain_text("fenced", timeout=30_000)
            await expect(news).to_contain_text("1 fenced", timeout=WITHIN_MS)
            assert await page.faint_texts() == []
        finally:
            os.kill(pid, signal.SIGCONT)
    await expect(row).to_be_hidden(timeout=WITHIN_MS)
    await expect(news).to_have_text("2 workers", timeout=30_000)  # the one that takes its place


async def test_a_worker_that_is_killed_is_gone_and_a_new_one_appears(
    page: AdminPage, served: Served
) -> None:
    await expect(page.table("workers")).to_have_count(2, timeout=WITHIN_MS)
    victim = served.worker_pids()[0]
    row = page.row("workers", f"({victim})")
    await expect(row).to_be_visible(timeout=WITHIN_MS)
    os.kill(victim, signal.SIGKILL)

    await expect(row).to_be_hidden(timeout=30_000)
    await expect(page.table("workers")).to_have_count(2, timeout=30_000)
