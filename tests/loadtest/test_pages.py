"""The report and locust's own page, in a real browser that reaches nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import pytest
from playwright.async_api import Browser, Page, Request, Route

from tests.support.browser import chromium, contrast
from tests.support.children import mortal
from tests.support.loadtest import ROOT, Outcome, environment, faults_of, locust
from tests.support.ports import free_port
from tests.support.waiting import blocking_eventually, eventually, eventually_async

START_S = 60.0  # everything else of this tier runs at the same time


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
        assert text.splitlines()[0] == outcome.headline
        for title in ("Throughput", "Latency", "Connections", "CPU", "Memory", "were away"):
            plot = page.locator(f"figure[aria-label*='{title}'] svg").first
            box = await plot.bounding_box()
            assert box is not None, title
            assert box["height"] > 100, title
        assert await page.locator("svg text", has_text="worker killed").count() >= 2


# Colours of what is drawn, what is cut off or lies over something else, and how high letters are.
_LOOK = """() => {
  const paper = getComputedStyle(document.body).backgroundColor;
  const inks = [], lines = [], cut = [], crossed = [];
  let lowest = 99;
  for (const svg of document.querySelectorAll("svg")) {
    const whole = svg.getBoundingClientRect();
    const events = [];
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      inks.push(getComputedStyle(text).fill);
      lowest = Math.min(lowest, box.height);
      if (box.left < whole.left || box.right > whole.right || box.top < whole.top
          || box.bottom > whole.bottom) cut.push(text.textContent);
      if (/[a-z]{3}/.test(text.textContent)) events.push(box);
    }
    for (const one of events) for (const other of events)
      if (one !== other && one.left < other.right && other.left < one.right
          && one.top + 2 < other.bottom && other.top + 2 < one.bottom) crossed.push(1);
    for (const path of svg.querySelectorAll("[id*=line2d] > path[clip-path]"))
      lines.push([getComputedStyle(path).stroke, getComputedStyle(path).strokeOpacity]);
  }
  const named = [...document.querySelectorAll("figcaption li")].filter(
    (li) => li.scrollWidth > li.clientWidth + 1);
  const wide = document.documentElement.scrollWidth - innerWidth;
  return { paper, inks, lines: lines.filter(([_, o]) => o === "1").map(([s]) => s), cut,
           crossed: crossed.length, named: named.length, lowest, wide };
}"""


@pytest.mark.parametrize("width", [1100, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_report_can_be_read_by_day_and_night_and_on_a_phone(
    outcome_of: Callable[[str], Outcome], width: int, scheme: Literal["light", "dark"]
) -> None:
    outcome = await asyncio.to_thread(outcome_of, "kill_worker")
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        await page.goto(outcome.page.as_uri())
        seen = await page.evaluate(_LOOK)

    assert len(seen["inks"]) > 50
    assert len(seen["lines"]) > 10
    assert contrast("rgb(0, 0, 0)", seen["paper"]) > 15 or scheme == "dark"
    assert contrast("rgb(255, 255, 255)", seen["paper"]) > 15 or scheme == "light"
    assert min(contrast(ink, seen["paper"]) for ink in seen["inks"]) >= 4.5
    assert min(contrast(line, seen["paper"]) for line in seen["lines"]) >= 3
    assert seen["cut"] == []
    assert (seen["crossed"], seen["named"], seen["wide"]) == (0, 0, 0)
    assert seen["lowest"] >= 10


async def test_the_first_start_obeys_the_form(locusts_page: LocustsPage) -> None:
    """Users and their ramp, although the command line asked for others. Must be the first start."""
    form = b"user_count=7&spawn_rate=3&rate=14&seconds=2"
    answered = await asyncio.to_thread(answer, f"{locusts_page.url}/swarm", form)
    assert json.loads(answered)["success"] is True

    folder = await new_report(locusts_page, set())
    facts = json.loads((folder / "run.json").read_text())
    assert faults_of(facts) == []
    assert facts["figures"]["asked for"] == "7 users, 14 messages/s, 2 s"
    assert facts["figures"]["handshakes"].endswith("(7)")  # and never others
    connected = re.search(r"- ([\d.]+) s: all connected", (folder / "summary.md").read_text())
    assert connected is not None
    assert float(connected[1]) > 1.8  # the seventh comes two seconds after the first


async def test_locusts_page_starts_a_run_that_ends_in_a_report(locusts_page: LocustsPage) -> None:
    before = reports(locusts_page)
    async with chromium() as browser, reader(browser) as (page, asked):
        await page.context.route("**/*", refuse_others)
        await page.goto(locusts_page.url)
        await page.get_by_role("button", name="New").click()
        await page.get_by_role("button", name="Start").click()

        folder = await new_report(locusts_page, before)
        facts = json.loads((folder / "run.json").read_text())
        assert faults_of(facts) == []
        first_line = (folder / "summary.md").read_text().splitlines()[0]
        assert (first_line == "clean") == (facts["reasons"] == [])
        assert {urlsplit(url).hostname for url in asked if "://" in url} == {"127.0.0.1"}


async def test_stop_gives_the_verdict_and_the_report_at_once(locusts_page: LocustsPage) -> None:
    before = reports(locusts_page)
    form = b"user_count=5&spawn_rate=5&rate=20&seconds=600"
    await asyncio.to_thread(answer, f"{locusts_page.url}/swarm", form)
    await eventually(
        lambda: said(locusts_page).count("connected 5  sent 20/s") > 0, "load", START_S
    )
    again = await asyncio.to_thread(answer, f"{locusts_page.url}/swarm", form)
    await asyncio.to_thread(answer, f"{locusts_page.url}/stop", b"")

    assert json.loads(again)["message"] == "a test runs: stop it before another is started"
    folder = await new_report(locusts_page, before)
    report = f"\nreport: {folder}/report.html\n"
    await eventually(lambda: said(locusts_page).endswith(report), "the verdict")
    assert "\nnot clean: stopped before its time\nmessages: " in said(locusts_page)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("user_count=1000000&rate=100000", "1000000 users do not fit: "),
        ("user_count=-1", "users -1 is outside 1 to 1,000,000"),
        ("user_count=1e9", "users 1e9 is outside 1 to 1,000,000"),
        ("user_count=", "users is empty"),
        ("rate=abc", "rate abc is not a number"),
        ("rate=", "rate is empty"),
        ("spawn_rate=0", "spawn-rate 0 is outside 0.01 to"),
        ("seconds=inf", "seconds inf is outside 1 to"),
        ("run_time=30s", "run-time is not used here: seconds count from when"),
        ("host=gateway", "host gateway is not like http://"),
    ],
)
async def test_a_form_that_cannot_be_is_explained_in_one_line(
    locusts_page: LocustsPage, field: str, says: str
) -> None:
    answered = await asyncio.to_thread(answer, f"{locusts_page.url}/swarm", field.encode())

    assert json.loads(answered)["success"] is False
    assert json.loads(answered)["message"].startswith(says)
    await eventually(lambda: f"refused: {says}" in said(locusts_page), "a line in the log")
    assert "Traceback" not in said(locusts_page)
    stats = await asyncio.to_thread(answer, f"{locusts_page.url}/stats/requests")
    assert json.loads(stats)["state"] in {"ready", "stopped"}


async def test_a_host_where_nobody_listens_is_refused_and_nobody_is_made(
    locusts_page: LocustsPage,
) -> None:
    before = reports(locusts_page)
    form = f"user_count=5&rate=10&host=http://127.0.0.1:{free_port()}".encode()
    await asyncio.to_thread(answer, f"{locusts_page.url}/swarm", form)

    await eventually(lambda: "refused: nobody listens at" in said(locusts_page), "a no")
    await eventually_async(lambda: has_stopped(locusts_page), "the end of the test", START_S)
    assert reports(locusts_page) == before


def said(started: LocustsPage) -> str:
    return (started.folder / "log").read_text()


def reports(started: LocustsPage) -> set[Path]:
    """Folders whose page, which is written last, has begun: all else in them is whole."""
    return {page.parent for page in (started.folder / "results").glob("*/report.html")}


async def new_report(started: LocustsPage, before: set[Path]) -> Path:
    await eventually(lambda: bool(reports(started) - before), "a report", START_S)
    [folder] = reports(started) - before
    return folder


async def has_stopped(started: LocustsPage) -> bool:
    stats = await asyncio.to_thread(answer, f"{started.url}/stats/requests")
    return bool(json.loads(stats)["state"] == "stopped")


def answer(url: str, form: bytes | None = None) -> bytes:
    """What locust's page answers to a GET, or to a form."""
    with urlopen(url, form, timeout=START_S) as answered:
        return bytes(answered.read())


async def refuse_others(route: Route) -> None:
    """Let only this machine be reached."""
    if urlsplit(route.request.url).hostname == "127.0.0.1":
        await route.continue_()
    else:
        await route.abort()


@dataclass(frozen=True, slots=True)
class LocustsPage:
    """Locust with its page, and a gateway of its own. No test of the two leaves a run behind."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def locusts_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocustsPage]:
    folder, port = tmp_path_factory.mktemp("page"), free_port()
    command = [
        locust(), "-f", "loadtest/locustfile.py", "--web-host", "127.0.0.1", "--web-port",
        str(port), "--scenario", "steady", "--users", "10", "--rate", "20", "--seconds", "2",
        "--results", str(folder / "results"), "--loglevel", "WARNING",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            mortal(command), env=environment(folder), cwd=ROOT, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        blocking_eventually(lambda: listens(port), "locust's page", START_S)
        yield LocustsPage(f"http://127.0.0.1:{port}", folder)
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(START_S)
        _, alive = psutil.wait_procs(family, 15)
        assert not alive, f"left behind: {alive}"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
