"""The page to try the gateway with, in a real browser."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize, expect

from gateway import Connection, Gateway, Message, Refused
from gateway.settings.config import Settings
from tests.support.browser import DESK, PHONE, Visit, self_signed, visit
from tests.support.mounted import mounted
from tests.support.proxy import Proxy
from tests.support.serve import Served
from tests.support.waiting import blocking_eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACED = Settings(trace=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers that show what they do."""
    folder = tmp_path_factory.mktemp("served")
    with Served(folder, "--workers", "2", environment={"GATEWAY_TRACE": "on"}) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, served: Served) -> AsyncIterator[Visit]:
    """The page, connected to one of the two workers."""
    async with visit(browser, served.url) as opened:
        await opened.connected()
        yield opened


def echoing(settings: Settings | None = None) -> Gateway:
    """A gateway that repeats each line as it is, and never answers "hang"."""
    gateway = Gateway(settings)

    @gateway.on_message
    async def repeat(message: Message) -> str:
        if message.text == "hang":
            await asyncio.Event().wait()
        return message.text

    return gateway


@asynccontextmanager
async def cuttable(browser: Browser) -> AsyncIterator[tuple[Visit, Proxy]]:
    """The page, connected through a proxy that may cut it off."""
    async with (
        mounted(echoing(TRACED)) as port,
        Proxy(port) as proxy,
        visit(browser, f"http://127.0.0.1:{proxy.port}") as opened,
    ):
        await opened.connected()
        yield opened, proxy


def listed(served: Served) -> list[dict[str, Any]]:
    """The workers, as an operator sees them."""
    return [json.loads(row) for row in served.command("workers", "--json").stdout.splitlines()]


# What it shows


async def test_a_line_comes_back_with_its_holder_its_answerer_and_its_round_trip(
    page: Visit, served: Served
) -> None:
    answer = await page.exchange("hello")

    holder = await page.fact("held-by").inner_text()
    assert (await page.fact("connection").inner_text()).startswith(f"{holder}.")
    answerer = await page.fact("answered-by").inner_text()
    assert await answer.locator(".text").inner_text() == "Received:hello"
    assert await answer.locator(".worker").inner_text() == answerer
    assert {holder, answerer} <= {row["worker"] for row in listed(served)}
    await expect(answer.locator(".time")).to_contain_text(" ms")
    await expect(page.fact("round-trip")).to_contain_text(" ms")


async def test_the_endpoints_address_is_there_to_be_copied(page: Visit, served: Served) -> None:
    await page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.page.get_by_role("button", name="Copy").click()

    await expect(page.fact("copy")).to_have_text("Copied")
    assert await page.page.evaluate("navigator.clipboard.readText()") == served.ws_url
    assert await page.fact("endpoint").inner_text() == served.ws_url


async def test_plain_lines_come_back_where_tracing_is_off(browser: Browser) -> None:
    async with mounted(echoing()) as port, visit(browser, f"http://127.0.0.1:{port}") as page:
        await page.connected()
        answer = await page.exchange("hello")

        assert await answer.locator(".text").inner_text() == "hello"
        assert page.complaints == []


async def test_tracing_switched_off_meanwhile_is_found_out(browser: Browser) -> None:
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        port = await first.enter_async_context(mounted(echoing(TRACED)))
        page = await stack.enter_async_context(visit(browser, f"http://127.0.0.1:{port}"))
        await page.connected()
        await first.aclose()
        await page.becomes("Reconnecting")

        await stack.enter_async_context(mounted(echoing(), port=port))

        await page.connected()
        await page.exchange("hello")


async def test_a_failed_handler_is_shown_as_an_error_of_its_line(browser: Browser) -> None:
    gateway = Gateway(TRACED)

    @gateway.on_message
    async def fail(message: Message) -> str:
        raise LookupError(message.text)

    async with mounted(gateway) as port, visit(browser, f"http://127.0.0.1:{port}") as page:
        await page.connected()
        await page.send("hello")

        await expect(page.rows("error").locator(".text")).to_have_text("handler failed")
        await expect(page.rows("sent").locator(".meta")).to_have_text("")


async def test_the_latest_200_rows_are_kept(page: Visit) -> None:
    await page.page.evaluate("for (let n = 1; n <= 120; n += 1) send(`line ${n}`)")

    await expect(page.rows("reply").last.locator(".text")).to_have_text("Received:line 120")
    assert await page.page.locator("#lines > li").count() == 200


# How it behaves when something goes wrong


async def test_only_pages_of_a_killed_worker_reconnect(browser: Browser, served: Served) -> None:
    async with AsyncExitStack() as stack:
        pages: dict[str, Visit] = {}
        for _ in range(40):
            page = await stack.enter_async_context(visit(browser, served.url))
            await page.connected()
            pages.setdefault(await page.fact("held-by").inner_text(), page)
            if len(pages) == 2:
                break
        (victim, lost), (_, kept) = pages.items()
        same = await kept.fact("connection").inner_text()
        await lost.exchange("before")
        pids = {row["worker"]: row["pid"] for row in listed(served)}

        os.kill(pids[victim], signal.SIGKILL)

        await lost.notices("its worker or the network went away (1006)")
        await lost.connected()
        await lost.exchange("after")
        assert await lost.fact("held-by").inner_text() != victim
        await kept.exchange("undisturbed")
        assert await kept.fact("connection").inner_text() == same
        assert await kept.rows("notice").count() == 1
    blocking_eventually(lambda: len(listed(served)) == 2, "the worker's successor", 15.0)


async def test_lines_without_an_answer_are_marked_when_cut_off(browser: Browser) -> None:
    async with cuttable(browser) as (page, proxy):
        await page.exchange("hello")
        for text in ("hang", "behind it"):
            await page.send(text)
        await expect(page.rows("sent").last.locator(".meta")).to_have_text("waiting")

        proxy.reset()

        await page.notices("2 lines without an answer")
        marks = await page.rows("sent").locator(".meta").all_inner_texts()
        assert marks == ["", "no answer", "no answer"]


async def test_a_line_is_kept_in_its_field_while_there_is_no_connection(browser: Browser) -> None:
    async with cuttable(browser) as (page, proxy):
        proxy.cut()
        await page.becomes("Reconnecting")
        await page.send("hello")

        await page.notices("the line was not sent")
        await expect(page.line).to_have_value("hello")


@pytest.mark.parametrize(("code", "comes_back"), [(4499, True), (4500, False)])
async def test_a_page_comes_back_unless_the_close_code_forbids_it(
    browser: Browser, code: int, comes_back: bool
) -> None:
    gateway, asked = Gateway(), 0

    @gateway.on_connect
    async def refuse_once(connection: Connection) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Refused(code, "not now")

    async with mounted(gateway) as port, visit(browser, f"http://127.0.0.1:{port}") as page:
        await page.notices(f"({code} not now)")
        if not comes_back:
            await page.becomes("Disconnected")
            await page.notices("asked not to come back")
            assert asked == 1
            await page.page.get_by_role("button", name="Connect again").click()
        await page.becomes("Connected")


async def test_the_goodbye_of_a_server_is_not_taken_for_an_answer(browser: Browser) -> None:
    gateway = echoing(Settings(message_bytes=10))

    async with mounted(gateway) as port, visit(browser, f"http://127.0.0.1:{port}") as page:
        await page.connected()
        await page.exchange("Bye!!!")
        await page.send("a line too long")

        await page.notices("The server says goodbye: Bye!!!")
        await page.notices("the line was too long for this server (1009")
        marks = await page.rows("sent").locator(".meta").all_inner_texts()
        assert marks == ["", "no answer"]
        assert await page.rows("reply").count() == 1


async def test_leaving_shows_the_servers_goodbye_and_stays_away(page: Visit) -> None:
    await page.page.get_by_role("button", name="Disconnect").click()

    await page.becomes("Disconnected")
    await page.notices("You disconnected: closed on purpose (1000 Bye!!!)")


async def test_waits_grow_to_30_s_with_full_jitter(page: Visit) -> None:
    longest, shortest = await page.page.evaluate(
        "[1, 0].map((chance) => [0, 1, 2, 9].map((n) => reconnectDelayMs(n, () => chance)))"
    )

    assert longest == [500, 1000, 2000, 30_000]
    assert shortest == [0, 0, 0, 0]


async def test_only_a_connection_that_lasted_5_s_makes_waits_short_again(page: Visit) -> None:
    counts = await page.page.evaluate("[null, 4999, 5000].map((ms) => failuresAfter(3, ms))")

    assert counts == [4, 4, 0]


# Where it is served


async def test_a_page_under_a_prefix_finds_its_endpoint(browser: Browser) -> None:
    async with (
        mounted(echoing(TRACED), prefix="/some/where") as port,
        visit(browser, f"http://127.0.0.1:{port}/some/where") as page,
    ):
        await page.connected()
        await page.exchange("hello")

        endpoint = f"ws://127.0.0.1:{port}/some/where/communicate"
        await expect(page.fact("endpoint")).to_have_text(endpoint)


async def test_a_page_behind_tls_uses_tls(browser: Browser, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)

    async with (
        mounted(echoing(), ssl_certfile=certificate, ssl_keyfile=key) as port,
        visit(browser, f"https://127.0.0.1:{port}", ignore_https_errors=True) as page,
    ):
        await page.connected()
        await page.exchange("hello")

        assert f"wss://127.0.0.1:{port}/communicate" in page.asked


async def test_nothing_is_asked_of_any_other_origin(page: Visit, served: Served) -> None:
    await page.exchange("hello")

    hosts = {urlsplit(url).netloc for url in page.asked if not url.startswith("data:")}
    assert hosts == {f"127.0.0.1:{served.port}"}


async def test_the_console_stays_empty_under_a_strict_policy(page: Visit) -> None:
    answer = await page.page.reload()
    assert answer is not None
    await page.connected()
    await page.exchange("hello")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.complaints == []


# How it looks and feels


async def test_everything_is_reached_by_keyboard(page: Visit) -> None:
    press = page.page.keyboard.press
    await page.page.keyboard.type("hello")
    await press("Enter")
    await expect(page.rows("reply").locator(".text")).to_have_text("Received:hello")

    stops = [await page.focused()]
    for _ in range(2):
        await press("Tab")
        stops.append(await page.focused())
    await press("Space")
    await expect(page.rows("reply").last.locator(".text")).to_have_text("Received:line 1")
    for _ in range(5):
        await press("Shift+Tab")
        stops.append(await page.focused())
    await press("Enter")
    await page.becomes("Disconnected")

    names = ["line", "send", "every-second", "send", "line", "log", "copy", "switch"]
    assert stops == [(name, True) for name in names]


async def test_new_rows_are_read_out(page: Visit) -> None:
    await page.exchange("hello")

    log = page.page.get_by_role("log", name="Lines")
    await expect(log).to_have_attribute("aria-live", "polite")
    spoken = await log.locator("li").all_text_contents()
    assert [text.split(" ")[0] for text in spoken] == ["Note:", "Sent:", "Answer:"]
    await expect(page.page.get_by_role("status")).to_have_text("Connected")


@pytest.mark.parametrize("viewport", [DESK, PHONE])
async def test_nothing_moves_while_lines_come_and_states_change(
    browser: Browser, served: Served, viewport: ViewportSize
) -> None:
    async with visit(browser, served.url, viewport=viewport) as page:
        await page.connected()
        for number in range(12):
            await page.exchange(f"{number} " + "a long line " * 3 * number)
        await page.page.evaluate("for (let n = 1; n <= 60; n += 1) send(`line ${n}`)")
        await expect(page.rows("reply").last.locator(".text")).to_have_text("Received:line 60")
        await page.switch.click()
        await page.becomes("Disconnected")
        await page.page.evaluate("showState('waiting', 'attempt 12 in 30 s')")
        await page.page.evaluate("showState('closed', 'as the server asked')")
        await page.switch.click()
        await page.connected()

        assert await page.layout_shifts() == []


async def test_nothing_needs_sideways_scrolling_on_a_phone(
    browser: Browser, served: Served
) -> None:
    async with visit(browser, served.url, viewport=PHONE, is_mobile=True) as page:
        await page.connected()
        await page.exchange("w" * 500)

        widths = await page.page.evaluate(
            "[...document.querySelectorAll('html, main *:not(.unseen)')].map((e) => e.scrollWidth)"
        )
        assert max(widths) <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_what_is_behind_it(
    browser: Browser, served: Served, scheme: str
) -> None:
    async with visit(browser, served.url, color_scheme=scheme) as page:
        await page.connected()
        await page.exchange("hello")
        await page.fill_with_every_row()
        faint = await page.faint_texts()
        for state in ("connecting", "open", "waiting", "closed"):
            await page.page.evaluate(f"showState('{state}', 'detail')")
            faint += await page.faint_texts()

        assert faint == []
