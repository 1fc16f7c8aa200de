"""The report and locust's own page, in a real browser that reaches nothing else."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
from playwright.async_api import Browser, Page, Request, Route

from tests.support.browser import chromium
from tests.support.children import mortal
from tests.support.loadtest import ROOT, Outcome, environment, locust
from tests.support.ports import free_port
from tests.support.waiting import eventually, eventually_async

START_S = 30.0


@asynccontextmanager
async def reader(browser: Browser) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page of its own, and every address that it asks for."""
    context = await browser.new_context()
    page = await context.new_page()
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    yield page, asked
    await context.close()


async def test_the_report_needs_no_network(outcome_of: Callable[[str], Outcome]) -> None:
    outcome = await asyncio.to_thread(outcome_of, "kill_worker")
    async with chromium() as browser, reader(browser) as (page, asked):
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text))
        await page.context.set_offline(True)

        await page.goto(outcome.page.as_uri())

        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert complaints == []


async def test_the_report_says_first_whether_it_is_clean_and_shows_plots(
    outcome_of: Callable[[str], Outcome],
) -> None:
    outcome = await asyncio.to_thread(outcome_of, "kill_worker")
    async with chromium() as browser, reader(browser) as (page, _):
        await page.goto(outcome.page.as_uri())

        text = await page.locator("body").inner_text()
        assert text.splitlines()[0] == "clean"
        for title in ("Throughput", "Latency", "Connections", "CPU", "Memory", "were away"):
            plot = page.locator(f"figure[aria-label*='{title}'] svg").first
            box = await plot.bounding_box()
            assert box is not None, title
            assert box["height"] > 100, title
        assert await page.locator("svg text", has_text="worker killed").count() >= 2


async def test_locusts_page_starts_a_run_that_ends_in_a_report(tmp_path: Path) -> None:
    async with (
        page_of_locust(tmp_path) as port,
        chromium() as browser,
        reader(browser) as (page, asked),
    ):
        await page.context.route("**/*", refuse_others)
        await page.goto(f"http://127.0.0.1:{port}")
        await page.get_by_role("button", name="Start").click()
        results = tmp_path / "results"

        await eventually(lambda: [*results.glob("*/summary.md")], "a report", START_S)
        [summary] = results.glob("*/summary.md")
        assert summary.read_text().splitlines()[0] == "clean"
        assert {urlsplit(url).hostname for url in asked if "://" in url} == {"127.0.0.1"}


async def test_a_form_that_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    async with page_of_locust(tmp_path) as port:
        form = b"user_count=1000000&spawn_rate=1&rate=100000&seconds=2"
        await asyncio.to_thread(answer, f"http://127.0.0.1:{port}/swarm", form)
        log = tmp_path / "log"

        await eventually(lambda: "refused: 1000000 users do not fit" in log.read_text(), "a no")
        await eventually_async(lambda: has_stopped(port), "the end of the test", START_S)
        assert "Traceback" not in log.read_text()


async def has_stopped(port: int) -> bool:
    stats = await asyncio.to_thread(answer, f"http://127.0.0.1:{port}/stats/requests")
    return bool(json.loads(stats)["state"] == "stopped")


def answer(url: str, form: bytes | None = None) -> bytes:
    """What locust's page answers to a GET, or to a form."""
    with urlopen(url, form, timeout=START_S) as answered:  # noqa: S310 (its own, of this machine)
        return bytes(answered.read())


async def refuse_others(route: Route) -> None:
    """Let only this machine be reached."""
    if urlsplit(route.request.url).hostname == "127.0.0.1":
        await route.continue_()
    else:
        await route.abort()


@asynccontextmanager
async def page_of_locust(folder: Path) -> AsyncIterator[int]:
    """Locust with its page, and a gateway of its own. Yields the port."""
    port = free_port()
    command = [
        locust(), "-f", "loadtest/locustfile.py", "--web-host", "127.0.0.1", "--web-port",
        str(port), "--scenario", "steady", "--users", "10", "--rate", "20", "--seconds", "2",
        "--results", str(folder / "results"), "--loglevel", "WARNING",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        # Not from another thread: the child would end with that.
        process = subprocess.Popen(  # noqa: ASYNC220
            mortal(command), env=environment(folder), cwd=ROOT, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        await eventually_async(lambda: listens(port), "locust's page", START_S)
        yield port
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        await asyncio.to_thread(process.wait, START_S)
        gone, alive = await asyncio.to_thread(psutil.wait_procs, family, 15)
        assert not alive, f"left behind: {alive}, gone: {len(gone)}"


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
