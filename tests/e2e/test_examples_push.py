"""The examples that send without being asked, each run for real as its README says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.browser import WITHIN_MS, chromium
from tests.support.children import mortal
from tests.support.examples import EXAMPLES, connected
from tests.support.ports import free_port
from tests.support.serve import ROOT, Served
from tests.support.waiting import blocking_eventually, eventually

FLASK = EXAMPLES / "flask-notify"
STREAMING = EXAMPLES / "streaming"
DEVICES = EXAMPLES / "two-devices"
KEY = "of-the-tests"


def as_backend(served: Served) -> dict[str, str]:
    """The environment of a backend of this gateway."""
    return os.environ | {"API_KEY": KEY, "API_URL": served.url, "PYTHONPATH": str(ROOT)}


# A streaming answer


async def test_tokens_come_one_by_one_and_the_whole_answer_last(tmp_path: Path) -> None:
    question = "why? " * 40 + "why?"  # four seconds of thinking: a busy machine may stop for one
    options = ("app:gateway", "--workers", "2")
    with Served(tmp_path, *options, cwd=STREAMING) as served:
        async with connected(served.ws_url) as client, asyncio.timeout(60):
            loop = asyncio.get_running_loop()
            await client.send(question)
            texts = [await client.recv()]
            first_at = loop.time()
            while texts[-1] != "".join(map(str, texts[:-1])) or len(texts) == 1:
                texts.append(await client.recv())

            *tokens, answer = texts
            assert tokens == [f"{word} " for word in str(answer).split(" ")[:-1]]
            assert str(answer).startswith(f"You ask: {question} Let me think.")
            assert loop.time() - first_at > 0.5  # what was sent at once would come at once


# A user on two devices


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("devices")
    options = ("app:gateway", "--workers", "2")
    with Served(folder, *options, cwd=DEVICES, environment={"GATEWAY_API_KEYS": KEY}) as served:
        yield served


def notified(served: Served, user: str, text: str) -> subprocess.CompletedProcess[str]:
    """Run the example's script."""
    return subprocess.run(
        [sys.executable, "notify.py", user, text], cwd=DEVICES, env=as_backend(served),
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


async def test_both_devices_of_a_user_are_told_and_nobody_else(devices: Served) -> None:
    url = f"{devices.ws_url}?user="
    async with (
        connected(url + "ann%2Fb") as phone,
        connected(url + "ann%2Fb") as browser,
        connected(url + "eve") as other,
    ):
        for client in (phone, browser, other):
            await client.send("who am I?")
            await client.recv()
        run = await asyncio.to_thread(notified, devices, "ann/b", "Your taxi is here \u2713")
        await other.send("who am I?")

        assert run.stdout == "written 2, gone 0, slow 0, unreachable 0\n", run.stderr
        assert run.returncode == 0
        assert [await phone.recv(), await browser.recv()] == ["Your taxi is here \u2713"] * 2
        assert await other.recv() == "you are eve"


def test_the_script_says_when_nobody_was_told(devices: Served) -> None:
    run = notified(devices, "nobody-home", "hello")

    assert (run.returncode, run.stdout) == (1, "written 0, gone 0, slow 0, unreachable 0\n")


# Flask notifies a browser


@contextmanager
def flask(folder: Path, port: int, served: Served) -> Iterator[str]:
    """``flask run`` as its README says. Gives the shop's URL."""
    log = folder / "flask.log"
    command = [sys.executable, "-m", "flask", "--app", "shop", "run", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            mortal(command), stdout=out, stderr=out, cwd=FLASK, env=as_backend(served)
        )
    try:
        blocking_eventually(
            lambda: re.search(r"Running on (http://\S+)", log.read_text()), "Flask's start", 20
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[str, Served]]:
    """The shop's URL, and its gateway, which lets the shop's pages in."""
    port = free_port()
    environment = {
        "GATEWAY_API_KEYS": KEY,
        "GATEWAY_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
    }
    options = ("door:gateway", "--workers", "2")
    with (
        Served(tmp_path, *options, cwd=FLASK, environment=environment) as served,
        flask(tmp_path, port, served) as url,
    ):
        yield url, served


def posted(url: str, **form: str) -> tuple[int, dict[str, object]]:
    """One HTTP POST: status and answer."""
    body = urllib.parse.urlencode(form).encode()
    try:
        with urllib.request.urlopen(url, data=body, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


async def test_a_browser_is_told_by_flask_once_and_while_it_is_there(
    shop: tuple[str, Served],
) -> None:
    url, served = shop
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(url)
        news = page.get_by_role("log").locator("li")
        for what in ("tea", "cake"):
            await page.get_by_label("What would you like?").fill(what)
            await page.get_by_role("button", name="Order").click(timeout=WITHIN_MS)
            await expect(news.last).to_contain_text(what, timeout=WITHIN_MS)

        told = [await asyncio.to_thread(posted, f"{url}/orders/1/ready") for _ in range(2)]

        assert told == [(200, {"customer": "told"})] * 2
        await expect(news.last).to_have_text("tea is ready", timeout=WITHIN_MS)
        assert await news.all_inner_texts() == ["order 1: tea", "order 2: cake", "tea is ready"]
    await eventually(lambda: served.metric("gateway_connections") == 0, "the browser's leaving")
    left = await asyncio.to_thread(posted, f"{url}/orders/2/ready")
    assert left == (200, {"customer": "has left"})
