"""Every query of the dashboard, asked of a real Prometheus after a bad day of two gateways.

That a query parses says little: each must have drawn something, and what is at nothing on a good
day must have moved by the fault that it is there for.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest

from deploy.grafana import model
from tests.support.apps.rooms import CHANNELS
from tests.support.centrifuge_client import (
    CentrifugeClient,
    Closed,
    centrifuge_client,
    centrifuge_socket,
)
from tests.support.dashboard import asked_for, chosen, read_nothing
from tests.support.ports import free_port
from tests.support.prometheus import Prometheus
from tests.support.pusher import API_KEY
from tests.support.rawclient import handshake, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.serve import Served
from tests.support.stand import Stand, a_stand
from tests.support.tokens import b64
from tests.support.trace_client import TraceClient, trace_client, trace_clients
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no prometheus: apt-get install prometheus"
)

MAX_CHANNELS: Final = 20
SEEN_S: Final = 15.0  # counts reach /metrics within a second, and the next scrape has them

# What is there and stays at nothing: it takes luck, or a fault that is made elsewhere.
# tests/unit/metrics/test_metrics.py tries each counter.
AT_NOTHING: Final = {
    "sum(rate(gateway_link_repeats_total{OURS}[RATE]))",  # a late acknowledgement
    "sum(rate(gateway_link_early_total{OURS}[RATE]))",  # one batch lost, the next not
    "sum by (where) (rate(gateway_dispatch_waits_total{OURS}[RATE]))",  # 16 MiB under way
    "sum(increase(gateway_disconnects_given_up_total{OURS}[RATE]))",  # thirty seconds
    # An answer at which whoever asked fails: tests/integration/test_hooks.py.
    "sum by (instance) (increase(gateway_answers_not_taken_total{OURS}[RATE]))",
    # More than a hundred batches with users at once: tests/integration/test_http_batch_bounds.py.
    "sum by (of) (gateway_registry_waiting{OURS})",
    "sum(increase(gateway_registry_busy_total{OURS}[RATE]))",
    "sum(increase(gateway_registry_unanswered_total{OURS}[RATE]))",
    # Of an admin port: tests/integration/test_admin_page.py tries it.
    "sum by (instance) (increase(gateway_admin_keys_refused_total{OURS}[RATE]))",
    # Of Sentinels and a Cluster: tests/faults tries them.
    "sum(gateway_redis_unlocated{OURS})",
    "max(gateway_redis_sentinels_away{OURS})",
    "sum(gateway_redis_quorum_lost{OURS})",
    "max(gateway_redis_slots_uncovered{OURS})",
}
NOT_THERE: Final = {
    "sum by (master) (gateway_redis_master_away{OURS})",  # the same
    # Edges apart, and no handler anywhere: tests/integration/test_roles.py.
    "sum by (instance) (gateway_edges_without_handlers{OURS}) > 0",
}


@pytest.fixture
async def stand(own_redis: RedisServer, tmp_path: Path) -> AsyncIterator[Stand]:
    async with a_stand(own_redis, tmp_path) as made:
        yield made


async def serve(stand: Stand, workers: int) -> Served:
    environment = {
        "GATEWAY_CHANNEL": CHANNELS,
        "GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN": "on",
        "GATEWAY_MAX_CHANNELS": str(MAX_CHANNELS),
        "GATEWAY_OUTBOX_BYTES": "100000000",  # so that what waits is there for a scrape
        "GATEWAY_STALL_SECONDS": "2",
        "GATEWAY_DRAIN_SECONDS": "1",
        # Traces, and no collector.
        "GATEWAY_OPENTELEMETRY": "on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "GATEWAY_TOKEN_JWKS_PUBLIC_ENDPOINT": f"http://127.0.0.1:{free_port()}/jwks",
    }
    options = ("tests.support.apps.badday:gateway", "--workers", str(workers))
    return await stand.serve(*options, environment=environment)


# The faults


async def talk(served: Served) -> None:
    """Messages that are answered, fail, and hold the loop; what a backend sends and publishes."""
    async with (
        trace_client(served.ws_url) as client,
        httpx.AsyncClient(base_url=served.url, timeout=10) as backend,
    ):
        for _ in range(20):
            await client.ask("hello")
        await client.ask("block 0.6")
        sends = {"authorization": f"Bearer {API_KEY}"}
        for connection in (client.connection, "nobody.here"):
            await backend.post(f"/@connections/{connection}", content=b"hi", headers=sends)
        channels = ["many0", "nowhere:1"]
        await backend.post("/@broadcast", json={"channels": channels, "data": 1}, headers=sends)
    async with raw_websocket(served.port) as failing:
        failing.say("raise")
        await failing.rest()


async def use_channels(ann: CentrifugeClient, bob: CentrifugeClient, port: int) -> None:
    """Publications; one who recovers, one who cannot; and more channels than are allowed.

    Bob is told of gaps, and has then to subscribe again; Ann is not.
    """
    await ann.subscribe("room:1")
    place = await bob.subscribe("room:1", positioned=True, recoverable=True)
    for n in range(10):
        await ann.ask(publish={"channel": "room:1", "data": n})
    for epoch in (place["epoch"], "long ago"):
        async with centrifuge_client(port) as late:
            await late.subscribe("room:1", recover=True, offset=place.get("offset", 0), epoch=epoch)
    for n in range(MAX_CHANNELS + 1):
        await ann.ask(subscribe={"channel": f"many{n}"})


async def show_a_token(port: int) -> None:
    """One whose key may be in the JWKS, which is away."""
    unsigned = {"alg": "RS256", "typ": "JWT", "kid": "known-there"}
    parts = (b64(json.dumps(part).encode()) for part in (unsigned, {"sub": "ann"}))
    async with centrifuge_socket(port) as client:
        with suppress(Closed):
            await client.ask(connect={"token": f"{'.'.join(parts)}.{b64(b'x' * 256)}"})


async def kill_a_worker(killed: Served, other: Served, clients: Sequence[TraceClient]) -> None:
    """While it handles messages of another port's clients."""
    asked = [asyncio.create_task(client.ask("wait 1.5")) for client in clients]
    pongs = [await client.socket.ping() for client in clients]
    await asyncio.gather(*pongs)  # the edge has read what was asked before, and picked who handles
    psutil.Process(killed.worker_pids()[0]).kill()
    await asyncio.gather(*asked)
    await eventually(
        lambda: other.metric("gateway_dispatches_total", outcome="moved") > 0, "moved messages"
    )


async def freeze_a_worker(frozen: Served, other: Served, clients: Sequence[TraceClient]) -> None:
    """Those who have something for it ask whether it lives."""
    worker = psutil.Process(frozen.worker_pids()[0])
    worker.suspend()
    try:
        asked = [asyncio.create_task(client.ask("hello")) for client in clients]
        await eventually(
            lambda: other.metric("gateway_link_polls_total") > 0, "questions to a silent worker", 8
        )
    finally:
        worker.resume()
    await asyncio.gather(*asked)


async def break_subscriptions(
    redis: RedisServer, served: Served, clients: Sequence[TraceClient]
) -> None:
    """What is published meanwhile is lost, and sent again."""
    with redis.client() as admin:

        async def lost_once() -> bool:
            asked = [asyncio.create_task(client.ask("hello")) for client in clients]
            admin.client_kill_filter(_type="pubsub")
            await asyncio.gather(*asked)
            return served.metric("gateway_link_resends_total") > 0

        await eventually_async(lost_once, "batches sent again", 15)


async def let_redis_refuse(redis: RedisServer, served: Served) -> None:
    with redis.client() as admin:
        for channel in admin.pubsub_channels("*:inbox:*"):
            admin.publish(channel, b"not an envelope")
        admin.config_set("maxmemory", "100kb")
        try:
            await handshake(served.port)
            await eventually(
                lambda: served.metric("gateway_redis_errors_total", kind="memory") > 0, "a refusal"
            )
        finally:
            admin.config_set("maxmemory", "0")


async def kill_redis(
    redis: RedisServer, prometheus: Prometheus, ann: CentrifugeClient, bob: CentrifugeClient
) -> None:
    """Publications fail, and that somebody leaves is not written; it comes back empty."""
    await asyncio.to_thread(redis.kill)
    ann.say(ann.command(publish={"channel": "room:1", "data": "lost"}))
    bob.raw.abort()
    for metric in ("gateway_publications_failed_total", "gateway_presence_failing"):
        await eventually_async(partial(has_moved, prometheus, metric), f"{metric} over 0", 15)
    await asyncio.to_thread(redis.start)


async def has_moved(prometheus: Prometheus, metric: str) -> bool:
    series = await asyncio.to_thread(prometheus.since_the_start, metric)
    return any(any(values) for _, values in series)


# What has been drawn


def wrong(prometheus: Prometheus, only: set[str] | None = None) -> dict[str, str]:
    """The queries that have drawn nothing, or nothing but nothing, and why that is wrong."""
    found = {}
    for _, panel in model.numbered():
        for query in panel.queries:
            if only is not None and query.expr not in only:
                continue
            series = prometheus.since_the_start(asked_for(query))
            called = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
            if query.expr in NOT_THERE:
                assert not series
            elif not any(values for _, values in series):
                found[query.expr] = "nothing"
            elif any(not called <= labels.keys() for labels, _ in series):
                found[query.expr] = f"a series without one of {called}"
            elif query.expr not in AT_NOTHING and not any(any(values) for _, values in series):
                found[query.expr] = "only 0"
    return found


def variable_queries() -> list[tuple[str, str]]:
    """Series and label of every variable that asks Prometheus."""
    dashboard: dict[str, Any] = json.loads(model.FILE.read_text())
    asked = [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    return [re.fullmatch(r"label_values\((.*), (\w+)\)", text).groups() for text in asked]  # type: ignore[union-attr,misc]


async def test_every_panel_draws_what_it_is_there_for(stand: Stand, tmp_path: Path) -> None:
    """Red with a label or metric that is not there, and without the fault of a panel."""
    one, two = await serve(stand, 1), await serve(stand, 2)
    async with AsyncExitStack() as stack:
        prometheus = Prometheus(tmp_path / "prometheus", [one.port, two.port])
        await asyncio.to_thread(prometheus.__enter__)
        stack.callback(prometheus.__exit__, None, None, None)
        ann, bob = [await stack.enter_async_context(centrifuge_client(one.port)) for _ in range(2)]
        clients = await stack.enter_async_context(trace_clients(one.ws_url, 20))

        assert (await handshake(one.port, Origin="https://elsewhere.example")).status == 403
        await asyncio.gather(
            talk(one),
            talk(two),
            use_channels(ann, bob, one.port),
            read_nothing(two),
            show_a_token(one.port),
        )
        await let_redis_refuse(stand.redis, one)
        await freeze_a_worker(two, one, clients)
        await break_subscriptions(stand.redis, one, clients)
        await kill_a_worker(two, one, clients)
        await kill_redis(stand.redis, prometheus, ann, bob)
        two.signal(signal.SIGTERM)

        left = await asyncio.to_thread(wrong, prometheus)
        try:
            async with asyncio.timeout(SEEN_S):
                while left:
                    left = await asyncio.to_thread(wrong, prometheus, set(left))
        except TimeoutError:
            assert not left
        for series, label in variable_queries():
            values = prometheus.label_values(label, chosen(series))
            assert values == (
                {"gateway"} if label == "job" else {f"127.0.0.1:{s.port}" for s in (one, two)}
            )
