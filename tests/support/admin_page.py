"""The admin page in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Browser, Locator, Response, expect

from tests.support.browser import WITHIN_MS, Visit, window
from tests.support.serve import Served


def admin_url(served: Served) -> str:
    """Where its admin port is, without a slash at the end."""
    [url] = re.findall(r"^  backends   (http://\S+)$", served.log, re.MULTILINE)
    return str(url)


class AdminPage(Visit):
    """A window that shows the admin page."""

    async def unlock(self, key: str) -> None:
        await self.page.get_by_label("API key", exact=True).fill(key)
        await self.page.keyboard.press("Enter")

    async def is_(self, state: str) -> None:
        """Wait until it says of itself: Live, Not live, reconnecting."""
        await expect(self.page.locator("#live")).to_have_text(state, timeout=WITHIN_MS)

    async def shows(self, view: str) -> None:
        """Wait for the view with this heading."""
        heading = self.page.get_by_role("heading", name=view, exact=True)
        await expect(heading).to_be_visible(timeout=WITHIN_MS)

    async def go(self, view: str) -> None:
        await self.page.get_by_role("link", name=view, exact=True).click()
        await self.shows(view)

    async def search(self, *, worker: str = "", user: str = "", address: str = "") -> None:
        """Fill in what connections are to be of, and wait until the answer is there."""
        await self.page.get_by_label("Worker", exact=True).select_option(worker)
        await self.page.get_by_label("User", exact=True).fill(user)
        await self.page.get_by_label("Address", exact=True).fill(address)
        wanted = {"worker": worker, "user": user, "address": address}
        asked = {name for name, value in wanted.items() if value}

        def is_answer(response: Response) -> bool:
            url = urlsplit(response.url)
            return url.path.endswith("/@connections") and asked <= parse_qs(url.query).keys()

        async with self.page.expect_response(is_answer):
            await self.page.get_by_role("button", name="Show", exact=True).click()

    async def tab_to(self, wanted: str, *, steps: int = 60) -> None:
        """Press Tab until what has this id or this text has the focus, and shows that."""
        for _ in range(steps + 1):
            found = await self.page.evaluate(
                """() => {
                  const it = document.activeElement;
                  const style = getComputedStyle(it);
                  const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
                  return [it.id, it.textContent.trim(), seen];
                }"""
            )
            if wanted in found[:2]:
                assert found[2], f"one does not see that {wanted} has the focus"
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"the focus never came to {wanted}")

    async def overflow_px(self) -> int:
        """How much wider than its window the page is."""
        wider: int = await self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider

    def table(self, what: str) -> Locator:
        """The rows of the table of workers, connections, channels, without its head."""
        return self.page.get_by_role("region", name=f"Table of {what}").locator("tbody tr")

    def row(self, what: str, text: str) -> Locator:
        return self.table(what).filter(has_text=text)

    async def cell(self, row: Locator, column: str) -> str:
        """What a row says in the column with this head."""
        # At one moment: a row may be taken away between two questions.
        heads, cells = await row.evaluate(
            """(row) => [row.closest("table").querySelectorAll("thead th"), row.cells].map(
              (cells) => [...cells].map((cell) => cell.innerText.trim()),
            )"""
        )
        said: str = cells[heads.index(column)]
        return said

    def particular(self, name: str) -> Locator:
        """What is said of a connection under this name."""
        term = self.page.locator("#particulars dt", has_text=re.compile(f"^{re.escape(name)}$"))
        return term.locator("xpath=following-sibling::dd")


@asynccontextmanager
async def admin_page(browser: Browser, url: str, **context: Any) -> AsyncIterator[AdminPage]:
    """Open it in a window that shares nothing with others. ``context``: Playwright's."""
    async with window(browser, **context) as page:
        opened = AdminPage(page)
        await page.goto(f"{url}/admin/")
        yield opened
