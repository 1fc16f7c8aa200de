"""The view Room of the page, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from playwright.async_api import Browser, Locator, expect

from tests.support.browser import WITHIN_MS, Visit, window

# The page keeps the newest rows only.
_RECORD_LINES = """() => {
  window.heard = [];
  const record = (row) => {
    if (!row.classList.contains("said")) return;
    const who = row.querySelector(".who").textContent;
    const text = row.querySelector(".text").textContent.slice(who.length + 1);
    window.heard.push([who, text, row.querySelector(".meta .recovered") !== null]);
  };
  new MutationObserver((changes) => changes.forEach((c) => c.addedNodes.forEach(record)))
    .observe(document.querySelector("#said ol"), { childList: true });
}"""


class HeardLine(NamedTuple):
    """A line as a window showed it."""

    who: str
    text: str
    recovered: bool


class RoomPage(Visit):
    """A window that shows the view Room."""

    async def go_in(self, name: str = "Ann", channel: str = "room:lobby") -> None:
        await self.page.get_by_label("Your name").fill(name)
        await self.page.get_by_label("Room", exact=True).last.fill(channel)
        await self.page.get_by_role("button", name="Enter").click()

    async def says(self, text: str) -> None:
        await self.page.get_by_label("What you say").fill(text)
        await self.page.keyboard.press("Enter")

    async def is_(self, state: str) -> None:
        """Wait for a state: In the room, Reconnecting, Not in a room."""
        await expect(self.page.locator("#room-state")).to_have_text(state, timeout=WITHIN_MS)

    @property
    def refusal(self) -> Locator:
        return self.page.get_by_role("alert")

    @property
    def said(self) -> Locator:
        """Every line that was said."""
        return self.page.locator("#said .said")

    @property
    def people(self) -> Locator:
        return self.page.locator("#people li")

    async def hears(self, text: str) -> Locator:
        """Wait for the line with this text."""
        line = self.said.filter(has_text=text).last
        await expect(line).to_be_visible(timeout=WITHIN_MS)
        return line

    async def lines(self) -> list[str]:
        """Who has said what, oldest first."""
        return await self.said.locator(".text").all_inner_texts()

    async def heard(self) -> list[HeardLine]:
        """Every line since the page was opened, in the order in which they were shown."""
        return [HeardLine(*line) for line in await self.page.evaluate("window.heard")]

    async def told(self, text: str) -> None:
        """Wait for a notice that has this text in it."""
        notice = self.page.locator("#said .notice").filter(has_text=text).first
        await expect(notice).to_be_visible(timeout=WITHIN_MS)

    async def sees(self, *people: str) -> None:
        """Wait until exactly these are here, in any order."""
        await expect(self.page.locator("#here-count")).to_have_text(
            str(len(people)), timeout=WITHIN_MS
        )
        for person in people:
            await expect(self.people.filter(has_text=person).first).to_be_visible(timeout=WITHIN_MS)

    async def worker(self) -> str:
        return await self.fact("room-held-by").inner_text()


@asynccontextmanager
async def room_page(
    browser: Browser, url: str, *, fragment: str = "#room", **context: Any
) -> AsyncIterator[RoomPage]:
    """Open the page at a view, in a window that shares nothing with others."""
    async with window(browser, **context) as page:
        opened = RoomPage(page)
        await page.goto(f"{url}{fragment}")
        await page.evaluate(_RECORD_LINES)
        yield opened
