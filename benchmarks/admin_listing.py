"""What the admin page's lists of connections cost, by how many connections there are.

    python -m benchmarks.admin_listing --connections 20000 100000

A real Redis that is filled by the registry itself, with entries of workers that do not exist; one
real worker whose admin port is asked; and Chromium, where it is installed, for the page. Times are
those of who asks; of Redis, the time inside its commands (``INFO commandstats``).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import redis

from gateway.protocol.ids import WorkerId, connection_id, worker_id
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support.url import parse
from gateway.registry.base import Entry
from gateway.registry.redis import RedisRegistry
from tests.support.admin_page import AdminPage, admin_page, admin_url
from tests.support.browser import chromium
from tests.support.redis_server import RedisServer
from tests.support.serve import Served

WORKERS: Final = 20
KEY: Final = "the-key"
PREFIX: Final = "bench"
RARE: Final = "198.51.100.7"  # of one connection in a thousand
ABSENT: Final = "203.0.113.9"
AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36"
LEASE_S: Final = 300  # the worker that is asked has the same, or it would shorten theirs
WRITTEN_AT_ONCE: Final = 1000


async def fill(url: str, count: int) -> dict[WorkerId, WorkerInfo]:
    """Write so many connections of workers that do not exist, and return those."""
    workers = {}
    registry = RedisRegistry(parse(url), prefix=PREFIX)
    since = int(time.time() * 1000)
    for number in range(WORKERS):
        worker = worker_id(random.randbytes(10))
        info = WorkerInfo(edge=True, handler=False, host="simulated", pid=number + 1)
        workers[worker] = info
        await registry.renew(worker, info, LEASE_S)
        theirs = range(number, count, WORKERS)
        for start in range(0, len(theirs), WRITTEN_AT_ONCE):
            entries: dict[Any, Entry | None] = {
                connection_id(worker, random.randbytes(16)): Entry(
                    f"user-{each}",
                    RARE if each % 1000 == 7 else f"10.{each % 199}.{each % 251}.{each % 241}",
                    AGENT, "centrifuge", since,
                )
                for each in theirs[start : start + WRITTEN_AT_ONCE]
            }  # fmt: skip
            revision = start // WRITTEN_AT_ONCE
            upon = range(revision, revision + 1)
            await registry.write(worker, revision + 1, entries, upon=upon)
    await registry.aclose()
    return workers


async def keep(url: str, workers: dict[WorkerId, WorkerInfo]) -> None:
    """Renew their leases until it is cancelled."""
    registry = RedisRegistry(parse(url), prefix=PREFIX)
    try:
        while True:
            for worker, info in workers.items():
                await registry.renew(worker, info, LEASE_S)
            await asyncio.sleep(LEASE_S / 10)
    finally:
        await registry.aclose()


@dataclass
class Spent:
    """What a piece of work has cost."""

    wall_s: float = 0.0
    calls: int = 0
    longest_s: float = 0.0
    redis_s: float = 0.0
    redis_longest_ms: float = 0.0  # the mean of the dearest command
    out_bytes: int = 0

    def row(self, what: str) -> str:
        return (
            f"| {what} | {self.calls} | {self.wall_s * 1000:,.0f} | {self.longest_s * 1000:,.0f} "
            f"| {self.redis_s * 1000:,.1f} | {self.redis_longest_ms:,.2f} "
            f"| {self.out_bytes / 1e6:,.2f} |"
        )


def _commands(server: redis.Redis) -> dict[str, tuple[int, float]]:
    stats: dict[str, Any] = server.info("commandstats")
    return {name: (each["calls"], each["usec"] / 1e6) for name, each in stats.items()}


@contextmanager
def spending(url: str) -> Iterator[Spent]:
    with redis.Redis.from_url(url) as server:
        spent, before = Spent(), _commands(server)
        sent = server.info("stats")["total_net_output_bytes"]
        begun = time.perf_counter()
        yield spent
        spent.wall_s = time.perf_counter() - begun
        for name, (calls, seconds) in _commands(server).items():
            had_calls, had = before.get(name, (0, 0.0))
            if name == "cmdstat_info" or calls == had_calls:
                continue
            spent.redis_s += seconds - had
            mean_ms = (seconds - had) / (calls - had_calls) * 1000
            spent.redis_longest_ms = max(spent.redis_longest_ms, mean_ms)
        spent.out_bytes = server.info("stats")["total_net_output_bytes"] - sent


async def walk(
    http: httpx.AsyncClient, spent: Spent, query: dict[str, Any], most: int | None = None
) -> int:
    """Ask for page after page as the admin page does. Returns how many were found."""
    found, cursor = 0, ""
    while most is None or spent.calls < most:
        begun = time.perf_counter()
        answer = await http.get("/@connections", params={**query, "cursor": cursor})
        spent.longest_s = max(spent.longest_s, time.perf_counter() - begun)
        spent.calls += 1
        body = answer.raise_for_status().json()
        found += len(body["connections"])
        cursor = body.get("cursor", "")
        if not cursor:
            break
    return found


async def over_http(base: str, url: str) -> None:
    print("| asked | calls | ms | longest call, ms | in Redis, ms | dearest command, ms | MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    async with httpx.AsyncClient(base_url=base, headers={"x-api-key": KEY}, timeout=60) as http:
        for what, query, most in (
            ("the first 50", {"limit": 50}, 1),
            ("one user's", {"user": "user-4711"}, None),
            ("an address, one press of *Show*", {"limit": 1000, "address": ABSENT}, 10),
            ("an address, to the end", {"limit": 1000, "address": RARE}, None),
            ("all, 1,000 a call", {"limit": 1000}, None),
        ):
            with spending(url) as spent:
                found = await walk(http, spent, query, most)
            print(spent.row(f"{what}: {found:,} found"))


async def in_chromium(base: str, worker: psutil.Process) -> None:
    """The same as a person does it, each time until it is drawn."""
    async with chromium() as browser, admin_page(browser, base) as opened:
        await opened.unlock(KEY)
        await opened.is_("Live")
        await opened.page.evaluate(UNTIL_DRAWN)
        first = await drawn(
            opened, "() => document.querySelector('a[href=\"#connections\"]').click()"
        )
        print(f"\nChromium, the first table: {first.ms:,.0f} ms")
        user = await shown(opened, user="user-4711")
        print(f"Chromium, a user: {user.ms:,.0f} ms. It says: {user.news}")
        for address in (RARE, ABSENT):
            press = await shown(opened, address=address)
            rest = await presses_of(opened)
            print(
                f"Chromium, the address {address}: {press.ms:,.0f} ms. It says: {press.news}. "
                f"To the end {len(rest)} presses more, longest {max(rest, default=0):,.0f} ms, "
                f"together {(press.ms + sum(rest)) / 1000:,.1f} s."
            )
        await shown(opened)
        before_mb = await heap_mb(opened)
        presses = await presses_of(opened)
        rows = await opened.table("connections").count()
        nodes = await opened.page.evaluate("document.querySelectorAll('*').length")
        news = await opened.page.locator("#connections-news").inner_text()
        print(
            f"Chromium, *More connections* {len(presses)} times: median "
            f"{statistics.median(presses):.0f} ms until it is drawn, of the last 20 "
            f"{statistics.median(presses[-20:]):.0f} ms, longest {max(presses):.0f} ms; "
            f"{rows} rows, {nodes} elements. It says: {news}. "
            f"Heap of the page {before_mb:.1f} MB before, {await heap_mb(opened):.1f} MB after; "
            f"the worker {worker.memory_info().rss / 1e6:.0f} MB."
        )


@dataclass(frozen=True)
class Drawn:
    """What one press took, and what the page says then."""

    ms: float
    news: str


UNTIL_DRAWN: Final = """() => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  const news = element("connections-news");
  window.untilDrawn = async (press) => {
    news.textContent = "";
    const begun = performance.now();
    press();
    while (!news.textContent) await frame();
    await frame();
    return { ms: performance.now() - begun, news: news.textContent };
  };
}"""


async def drawn(opened: AdminPage, press: str) -> Drawn:
    return Drawn(**await opened.page.evaluate(f"untilDrawn({press})"))


async def shown(opened: AdminPage, *, user: str = "", address: str = "") -> Drawn:
    """Press *Show*."""
    await opened.page.get_by_label("User", exact=True).fill(user)
    await opened.page.get_by_label("Address", exact=True).fill(address)
    return await drawn(
        opened, "() => document.querySelector('#connections button[type=submit]').click()"
    )


async def presses_of(opened: AdminPage) -> list[float]:
    """Press *More connections* until there are no more; how long each took, in ms."""
    pressed: list[float] = await opened.page.evaluate(
        """async () => {
          const button = element("more-connections");
          const took = [];
          while (!button.hidden) took.push((await untilDrawn(() => button.click())).ms);
          return took;
        }"""
    )
    return pressed


async def heap_mb(opened: AdminPage) -> float:
    """What the page's scripts hold, after a collection."""
    session = await opened.page.context.new_cdp_session(opened.page)
    await session.send("HeapProfiler.collectGarbage")
    return float((await session.send("Runtime.getHeapUsage"))["usedSize"]) / 1e6


async def run(connections: Sequence[int]) -> None:
    for count in connections:
        with tempfile.TemporaryDirectory() as folder:
            variables = {
                "GATEWAY_REDIS_PREFIX": PREFIX,
                "GATEWAY_ADMIN_BIND": "127.0.0.1:0",
                "GATEWAY_API_KEYS": KEY,
                "GATEWAY_LEASE_SECONDS": str(LEASE_S),
            }
            with RedisServer(Path(folder)) as server:
                keeping = asyncio.create_task(keep(server.url, await fill(server.url, count)))
                variables["GATEWAY_REDIS_URL"] = server.url
                with Served(Path(folder), "--workers", "1", environment=variables) as served:
                    print(f"\n{count:,} connections of {WORKERS} workers\n")
                    await over_http(admin_url(served), server.url)
                    [pid] = served.worker_pids()
                    await in_chromium(admin_url(served), psutil.Process(pid))
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[20_000, 100_000])
    asyncio.run(run(parser.parse_args().connections))


if __name__ == "__main__":
    main()
