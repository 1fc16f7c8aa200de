"""The page: what it hides, how it tells workers apart, and what is in sight on a small phone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from gateway import Connection
from gateway.settings.config import Settings
from tests.e2e.test_page import TRACED, echoing
from tests.support.browser import visit
from tests.support.mounted import mounted

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOKS = """(count) => {
  const looks = [];
  for (let i = 0; i < count; i += 1) {
    const chip = workerChip(`worker${String.fromCharCode(97 + i)}`);
    document.body.append(chip);
    const mark = getComputedStyle(chip, "::before").content;
    looks.push([getComputedStyle(chip).backgroundColor, mark]);
  }
  return looks;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    async with mounted(echoing(TRACED)) as serving:
        yield serving


async def test_its_query_goes_with_the_socket(browser: Browser) -> None:
    """Red while the socket had none: a token in the page's address did not open it."""
    gateway, seen = echoing(TRACED), list[str]()

    @gateway.on_connect
    async def note(connection: Connection) -> None:
        seen.append(connection.query)

    async with (
        mounted(gateway) as port,
        visit(browser, f"http://127.0.0.1:{port}/?token=a%20b#here") as page,
    ):
        await page.connected()

        assert seen == ["token=a%20b"]
        shown = await page.fact("endpoint").inner_text()
        assert shown == f"ws://127.0.0.1:{port}/communicate?token=a%20b"


async def test_workers_differ_in_colour_and_in_mark(browser: Browser, port: int) -> None:
    async with visit(browser, f"http://127.0.0.1:{port}") as page:
        colours, marks = zip(*await page.page.evaluate(LOOKS, 5), strict=True)

        assert len(set(colours)) == 5  # the sixth is that of the connection
        assert len(set(marks)) == 5


async def test_no_two_of_thirty_six_workers_look_alike(browser: Browser, port: int) -> None:
    """Red while the seventh took the colour of the first."""
    async with visit(browser, f"http://127.0.0.1:{port}") as page:
        looks = await page.page.evaluate(LOOKS, 35)

        assert len({tuple(look) for look in looks}) == 35


async def test_what_a_server_does_not_tell_has_no_place(browser: Browser) -> None:
    async with (
        mounted(echoing(Settings())) as port,
        visit(browser, f"http://127.0.0.1:{port}") as page,
    ):
        await page.connected()
        await page.exchange("hello")

        for fact in ("connection", "held-by", "answered-by"):
            await expect(page.fact(fact)).to_be_hidden()
        await expect(page.fact("round-trip")).to_be_visible()


@pytest.mark.parametrize("height", [480, 568])
async def test_the_field_is_in_sight_on_the_smallest_phone(
    browser: Browser, port: int, height: int
) -> None:
    """Red while the facts stood above it."""
    viewport = {"width": 320, "height": height}
    url = f"http://127.0.0.1:{port}"
    async with visit(browser, url, viewport=viewport, is_mobile=True) as page:
        await page.connected()
        await page.page.evaluate("scrollTo(0, 0)")
        box = await page.line.bounding_box()

        assert box is not None
        assert box["y"] + box["height"] <= height
        assert await page.page.evaluate("document.documentElement.scrollWidth") <= 320
