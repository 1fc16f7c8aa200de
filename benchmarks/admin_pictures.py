"""Pictures of the admin page, for its guide, from the page itself.

    python -m benchmarks.admin_pictures docs/guides/pictures

Two workers with a few clients that talk, and Chromium: the workers in light
colours, and one connection in dark ones.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import Browser, expect

from tests.support.admin_page import admin_page, admin_url
from tests.support.browser import WITHIN_MS, chromium
from tests.support.rawclient import raw_websocket
from tests.support.serve import Served

KEY: Final = "the-key"
CLIENTS: Final = 24
WINDOW: Final = {"width": 1500, "height": 560}
FOR_WORKERS: Final[Literal["light", "dark"]] = "light"
FOR_CONNECTION: Final[Literal["light", "dark"]] = "dark"


async def talk(served: Served, stack: AsyncExitStack) -> None:
    """Connect the clients, each of which says something now and then until it is cancelled."""
    names = ("ada", "ben", "eve", "kay")
    paths = [f"/communicate?{names[number % len(names)]}-{number}" for number in range(CLIENTS)]
    clients = [await stack.enter_async_context(raw_websocket(served.port, each)) for each in paths]

    async def say() -> None:
        while True:
            for client in clients:
                client.say("hello")
                await asyncio.sleep(0.02)

    saying = asyncio.create_task(say())
    stack.callback(saying.cancel)


async def take(browser: Browser, served: Served, folder: Path) -> None:
    url = admin_url(served)
    async with admin_page(browser, url, viewport=WINDOW, color_scheme=FOR_WORKERS) as opened:
        await opened.unlock(KEY)
        for pid in served.worker_pids():
            row = opened.row("workers", f"({pid})")
            await expect(row).to_contain_text("ok, heard", timeout=WITHIN_MS)
        await asyncio.sleep(3)  # for rates
        await opened.page.screenshot(path=folder / "admin-workers.png")
    window = {"width": 1100, "height": 860}
    async with admin_page(browser, url, viewport=window, color_scheme=FOR_CONNECTION) as opened:
        await opened.unlock(KEY)
        await opened.go("Connections")
        await opened.search(user="eve-2")
        await opened.row("connections", "eve-2").get_by_role("link").first.click()
        await expect(opened.particular("User")).to_have_text("eve-2", timeout=WITHIN_MS)
        await opened.page.screenshot(path=folder / "admin-connection.png")


async def run(folder: Path) -> None:
    variables = {
        "GATEWAY_ADMIN_BIND": "127.0.0.1:0",
        "GATEWAY_API_KEYS": KEY,
        "WATCHED_RELEASE": "/nothing is held",
    }
    app = "tests.support.apps.watched:gateway"
    with (
        tempfile.TemporaryDirectory() as run_folder,
        Served(Path(run_folder), app, "--workers", "2", environment=variables) as served,
    ):
        async with chromium() as browser, AsyncExitStack() as stack:
            await talk(served, stack)
            await take(browser, served, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(run(folder))


if __name__ == "__main__":
    main()
