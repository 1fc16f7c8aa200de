"""A real browser, the gateway's page in it, and what can be measured of it there."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

WITHIN_MS = 15_000
DESK = {"width": 1100, "height": 800}
PHONE = {"width": 360, "height": 740}
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip

_RECORD_SHIFTS = """
    window.shifts = [];
    const nameOf = (node) => node ? node.id || node.className || node.nodeName : "gone";
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries())
        window.shifts.push(`${entry.value}: ${entry.sources.map((s) => nameOf(s.node))}`);
    }).observe({ type: "layout-shift", buffered: true });
"""

# Each element that has text of its own, with its colour and the one behind it.
_INKS = """() => {
  const inks = [];
  for (const element of document.querySelectorAll("header *, main *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const asks = element.placeholder && !element.value;
    if ((!own && !asks) || !element.checkVisibility()) continue;
    let behind = element;
    while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)")
      behind = behind.parentElement;
    inks.push([
      element.placeholder || element.textContent.trim().slice(0, 40),
      getComputedStyle(element, asks ? "::placeholder" : null).color,
      getComputedStyle(behind).backgroundColor,
    ]);
  }
  return inks;
}"""

_EVERY_ROW = """() => {
  for (const worker of "abcdef") showNotice("worker ", workerChip(worker));
  send("one that fails");
  answered({ error: "failed" }, 0);
  pushed("one out of turn");
  send("one that is lost");
  socket.close();
  ended(LOST, 0);
  element("every-second").focus();  // away from the field, so that nothing hides its placeholder
}"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium without a window."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on PATH")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """The gateway's page in a window of its own.

    Attributes:
        complaints: Its console's errors and warnings (a breach of its policy is one), and errors
            nobody caught.
        asked: Every address it asked for, those of its sockets too.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on(
            "console",
            lambda said: (
                self.complaints.append(said.text) if said.type in ("error", "warning") else None
            ),
        )

    @property
    def line(self) -> Locator:
        return self.page.get_by_label("A line to send")

    @property
    def switch(self) -> Locator:
        return self.page.locator("#switch")

    def fact(self, name: str) -> Locator:
        return self.page.locator(f"#{name}")

    def rows(self, kind: str) -> Locator:
        """Rows of one kind, oldest first: sent, reply, push, error, notice."""
        return self.page.locator(f"#lines > .{kind}")

    async def send(self, text: str) -> None:
        await self.line.fill(text)
        await self.line.press("Enter")

    async def exchange(self, text: str) -> Locator:
        """Send a line and wait for its answer's row. For servers that repeat the line."""
        before = await self.rows("reply").count()
        await self.send(text)
        answer = self.rows("reply").nth(before)
        await expect(answer.locator(".text")).to_contain_text(text, timeout=WITHIN_MS)
        return answer

    async def becomes(self, state: str) -> None:
        """Wait until the page says that it is Connected, Reconnecting, Disconnected."""
        await expect(self.fact("state")).to_have_text(state, timeout=WITHIN_MS)

    async def connected(self) -> None:
        """Wait for the connection, and for the greeting that says more of it."""
        await self.becomes("Connected")
        await expect(self.rows("notice").last).to_contain_text("Connected", timeout=WITHIN_MS)

    async def notices(self, text: str) -> None:
        """Wait for a notice that has this text in it."""
        await expect(self.rows("notice").filter(has_text=text).first).to_be_visible(
            timeout=WITHIN_MS
        )

    async def fill_with_every_row(self) -> None:
        """Show a row of each kind, and each of the workers' colours."""
        await self.page.evaluate(_EVERY_ROW)

    async def focused(self) -> tuple[str, bool]:
        """What has the focus, and whether one can see that."""
        name, outlined = await self.page.evaluate(
            """() => {
              const style = getComputedStyle(document.activeElement);
              const visible = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
              return [document.activeElement.id, visible];
            }"""
        )
        return name, outlined

    async def layout_shifts(self) -> list[str]:
        """What moved although nobody moved it (the Layout Instability API), near inputs too."""
        await self.page.evaluate(
            "() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 50)))"
        )
        shifts: list[str] = await self.page.evaluate("window.shifts")
        return shifts

    async def faint_texts(self, *, at_least: int = 20) -> list[str]:
        """The visible texts that WCAG 2 AA calls too faint: under 4.5 to 1.

        Args:
            at_least: More texts than that must be there to be measured.
        """
        inks: list[tuple[str, str, str]] = await self.page.evaluate(_INKS)
        assert len(inks) > at_least, "the page was not there to be measured"
        return [
            f"{text!r}: {contrast(ink, behind):.2f}"
            for text, ink, behind in inks
            if contrast(ink, behind) < 4.5
        ]


@asynccontextmanager
async def visit(browser: Browser, url: str, **context: Any) -> AsyncIterator[Visit]:
    """Open the page in a window that shares nothing with others. ``context``: Playwright's."""
    async with window(browser, **context) as page:
        opened = Visit(page)
        await page.goto(url)
        yield opened


@asynccontextmanager
async def window(browser: Browser, **context: Any) -> AsyncIterator[Page]:
    """An empty window that shares nothing with others, and records what moves in it."""
    opened = await browser.new_context(**{"viewport": DESK, **context})
    try:
        await opened.add_init_script(_RECORD_SHIFTS)
        yield await opened.new_page()
    finally:
        await opened.close()


def contrast(one: str, other: str) -> float:
    """The ratio of two opaque CSS colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    name, _, channels = colour.rstrip(")").partition("(")
    assert name == "rgb", f"not an opaque colour: {colour}"
    red, green, blue = (int(channel) / 255 for channel in channels.split(","))
    return 0.2126 * _linear(red) + 0.7152 * _linear(green) + 0.0722 * _linear(blue)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for loopback and its key, good for a day."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on PATH")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "1", "-subj",
         "/CN=localhost", "-out", str(certificate), "-keyout", str(key)],
        check=True, capture_output=True,
    )  # fmt: skip
    ssl.create_default_context().load_verify_locations(certificate)
    return certificate, key
