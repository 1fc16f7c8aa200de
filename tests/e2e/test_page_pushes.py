"""What the page makes of texts that nobody at it has asked for, in a real browser."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, expect

from gateway import Gateway, Message, Receipt
from gateway.settings.config import Settings
from tests.support.browser import WITHIN_MS, visit
from tests.support.mounted import mounted

pytestmark = pytest.mark.asyncio(loop_scope="module")


def telling(*, trace: bool) -> tuple[Gateway, list[str], asyncio.Event]:
    """A gateway that answers once the event is set; the connections that have asked."""
    gateway, asked, gate = Gateway(Settings(trace=trace)), list[str](), asyncio.Event()

    @gateway.on_message
    async def answer(message: Message) -> str:
        asked.append(message.connection.id)
        await gate.wait()
        return f"answer to {message.text}"

    return gateway, asked, gate


async def test_a_traced_push_is_marked_and_taken_for_no_answer(browser: Browser) -> None:
    gateway, _, gate = telling(trace=True)
    async with mounted(gateway) as port, visit(browser, f"http://127.0.0.1:{port}") as page:
        await page.connected()
        await page.send("hello")
        await expect(page.rows("sent").locator(".meta")).to_have_text("waiting")
        connection = await page.fact("connection").inner_text()
        receipt = await gateway.send(connection, '{"text": "tea is ready"}')

        pushed = page.rows("push")
        await expect(pushed.locator(".text")).to_have_text('{"text": "tea is ready"}')
        await expect(pushed.locator(".meta")).to_have_text("pushed")
        await expect(pushed.locator(".unseen")).to_have_text("Pushed: ")
        await expect(page.rows("sent").locator(".meta")).to_have_text("waiting")
        gate.set()
        await expect(page.rows("reply").locator(".text")).to_have_text("answer to hello")
        assert receipt is Receipt.WRITTEN
        assert await pushed.count() == 1
        assert await page.layout_shifts() == []
        assert page.complaints == []


async def test_a_plain_text_that_nobody_waits_for_is_marked_as_pushed(browser: Browser) -> None:
    gateway, asked, gate = telling(trace=False)
    gate.set()
    async with mounted(gateway) as port, visit(browser, f"http://127.0.0.1:{port}") as page:
        await page.connected()
        await page.send("hello")
        reply = page.rows("reply").locator(".text")
        await expect(reply).to_have_text("answer to hello", timeout=WITHIN_MS)
        await gateway.send(asked[0], "tea is ready")

        await expect(page.rows("push").locator(".text")).to_have_text("tea is ready")
        assert await page.rows("reply").count() == 1
