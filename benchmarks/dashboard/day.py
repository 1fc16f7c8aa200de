"""Live a day with faults, and keep what each query of the dashboard says of it.

    python -m benchmarks.dashboard.day FOLDER

Two ports of two workers each, clients that send all the time, a real Prometheus that looks once a
second; then a worker is killed, Redis is frozen, a client does not read, and a port is drained.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import platform
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import psutil

from benchmarks.dashboard import kept
from benchmarks.machine import machine
from deploy.grafana import model
from deploy.grafana.panel import Query
from deploy.grafana.rows import ROWS
from tests.support.channel_crowd import ChannelCrowd
from tests.support.client_publisher import ClientPublisher
from tests.support.crowd import Crowd
from tests.support.dashboard import asked_for, read_nothing
from tests.support.prometheus import Labels, Prometheus
from tests.support.pusher import API_KEY
from tests.support.redis_server import RedisServer
from tests.support.serve import Served
from tests.support.stand import Stand, a_stand
from tests.support.waiting import eventually

CLIENTS: Final = 100
MESSAGES_PER_S: Final = 5.0  # of each
PUSHES_PER_S: Final = 20.0
SUBSCRIBERS: Final = 50
PUBLICATIONS_PER_S: Final = 20.0
CHANNEL: Final = "room:1"
NAMESPACE: Final = {
    "name": "room", "history_size": 1000, "history_ttl": "300s",
    "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
    "allow_publish_for_client": True, "allow_publish_for_anonymous": True,
    "allow_positioning": True, "allow_recovery": True, "presence": True,
}  # fmt: skip

WARM_S: Final = 12.0  # until every rate is one of the load
QUIET_S: Final = 22.0
FROZEN_S: Final = 8.0
RECONNECTED: Final = 5
WITHIN_S: Final = 30.0


class Living:
    """One day as it goes on: when which fault began and ended."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.faults: list[kept.Fault] = []
        self.began_s = prometheus.age_s
        self._prometheus = prometheus

    @asynccontextmanager
    async def fault(self, name: str) -> AsyncIterator[None]:
        from_s = self.now_s
        yield
        self.faults.append(kept.Fault(name, round(from_s, 1), round(self.now_s, 1)))
        await asyncio.sleep(QUIET_S)

    @property
    def now_s(self) -> float:
        return self._prometheus.age_s - self.began_s


async def serve(stand: Stand) -> Served:
    environment = {
        "GATEWAY_CHANNEL": json.dumps({"namespaces": [NAMESPACE]}),
        "GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN": "on",
        "GATEWAY_OUTBOX_BYTES": "100000000",  # so that what waits is there for a scrape
        "GATEWAY_STALL_SECONDS": "5",
        "GATEWAY_DRAIN_SECONDS": "5",
    }
    options = ("tests.support.apps.badday:gateway", "--workers", "2")
    return await stand.serve(*options, environment=environment)


async def suffer(
    living: Living, stand: Stand, one: Served, two: Served, subscribers: ChannelCrowd
) -> None:
    await asyncio.sleep(QUIET_S)
    async with living.fault("a worker killed"):
        psutil.Process(two.worker_pids()[0]).kill()
        await eventually(two.ready, "another worker", WITHIN_S)
    async with living.fault("Redis frozen"):
        stand.redis.freeze()
        for client in subscribers.clients[:RECONNECTED]:  # as some always do
            if client.transport is not None:
                client.transport.disconnect(graceful=False)
        await asyncio.sleep(FROZEN_S)
        stand.redis.thaw()
    async with living.fault("a client that does not read"):
        await read_nothing(one, WITHIN_S)
    async with living.fault("a port drained"):
        two.signal(signal.SIGTERM)
        await asyncio.to_thread(two.wait)


async def broadcast(served: Served) -> None:
    """Publish to two channels, of which one is none, twice a second until cancelled."""
    headers = {"authorization": f"Bearer {API_KEY}"}
    message = {"channels": ["room:2", "nowhere:1"], "data": "hello"}
    async with httpx.AsyncClient(base_url=served.url, timeout=10) as backend:
        while True:
            await backend.post("/@broadcast", json=message, headers=headers)
            await asyncio.sleep(0.5)


async def live(folder: Path) -> kept.Day:
    here = facts()
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        stand = await stack.enter_async_context(a_stand(redis, folder))
        one, two = await serve(stand), await serve(stand)
        prometheus = Prometheus(folder / "prometheus", [one.port, two.port])
        stack.enter_context(prometheus)
        ports = [one.port, two.port]
        crowd = await stack.enter_async_context(
            Crowd(
                [one.ws_url, two.ws_url],
                CLIENTS,
                per_second=MESSAGES_PER_S,
                pushes_per_second=PUSHES_PER_S,
            )
        )
        subscribers = await stack.enter_async_context(
            ChannelCrowd(ports, SUBSCRIBERS, lambda _: [CHANNEL], recoverable=True)
        )
        await stack.enter_async_context(
            ClientPublisher(
                one.port, CHANNEL, subscribers.ledger, serial=0, per_second=PUBLICATIONS_PER_S
            )
        )
        broadcasting = asyncio.create_task(broadcast(one))
        stack.callback(broadcasting.cancel)
        crowd.start_sending()
        await asyncio.sleep(WARM_S)
        living = Living(prometheus)
        await suffer(living, stand, one, two, subscribers)
        long_s = int(living.now_s)
        names = {f"127.0.0.1:{one.port}": "one", f"127.0.0.1:{two.port}": "two"}
        rows = [*rows_of(prometheus, int(living.began_s), long_s, names)]
        ledgers = [(await crowd.stop_sending()).table("messages")]
    return kept.Day(here, ledgers, long_s, living.faults, rows)


def facts() -> dict[str, str]:
    here = machine()
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": (
            f"{here['processor']}, {here['cores']} cores, {here['memory_gb']} GB, {here['kernel']}"
        ),
        "load at the start": str(here["load at the start"]),
        "Python": platform.python_version(),
    }


def rows_of(
    prometheus: Prometheus, from_s: int, long_s: int, names: dict[str, str]
) -> Iterator[kept.Row]:
    """Ask every query of the dashboard. ``names``: of the ports, which are new each time."""
    numbers = {id(panel): number for number, panel in model.numbered()}

    def asked(query: Query) -> kept.Asked:
        text = asked_for(query)
        found = prometheus.over_time(text)
        curves = [
            kept.Curve(_named(query.legend, labels, names), _seconds(points, from_s, long_s))
            for labels, points in found
        ]
        return kept.Asked(text, query.legend, sorted(curves, key=lambda curve: curve.name))

    for row in ROWS:
        panels = [
            kept.Panel(
                numbers[id(panel)], panel.title, panel.unit, panel.bound, panel.red_below,
                [asked(query) for query in panel.queries],
            )
            for panel in row.panels
        ]  # fmt: skip
        yield kept.Row(row.question, panels)


def _named(legend: str, labels: Labels, names: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        text = labels.get(found[1], "")
        return names.get(text, text)

    return re.sub(r"\{\{(\w+)\}\}", value, legend)


def _seconds(points: list[tuple[float, float]], from_s: int, long_s: int) -> list[float | None]:
    had = {round(at_s): float(f"{value:.3g}") for at_s, value in points}
    return [had.get(second) for second in range(from_s, from_s + long_s)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as run_folder:
        kept.write(asyncio.run(live(Path(run_folder))), folder)


if __name__ == "__main__":
    main()
