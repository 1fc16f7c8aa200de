"""The admin page's files and socket: on its port only, by its key only, of clients no part."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway import Connection, Gateway, Subscription
from gateway.broker.base import Reach
from gateway.broker.redis import RedisBroker
from gateway.edge import admin_socket
from gateway.metrics import Counters
from gateway.protocol.envelopes.membership import Arrived
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.reports import REPORTS
from gateway.settings.config import Settings
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import CentrifugeClient, centrifuge_socket
from tests.support.inprocess import InProcess, in_process
from tests.support.logs import capture_logs
from tests.support.rawclient import handshake, raw_websocket
from tests.support.waiting import eventually

KEY = "the-key"
PATH = "/admin/websocket"
FILES = [
    "/admin/",
    "/admin/base.css",
    "/admin/admin.css",
    "/admin/admin.js",
    "/admin/centrifuge.js",
]


@asynccontextmanager
async def admin_port(
    make: MakeSettings, gateway: Gateway | None = None, *, key: str = KEY, **changes: Any
) -> AsyncIterator[InProcess]:
    """A worker that is reached by its admin port only."""
    listener = socket.create_server(("127.0.0.1", 0))
    bind = f"127.0.0.1:{listener.getsockname()[1]}"
    own = make(admin_bind=bind, api_keys=Secret(key), **changes)
    async with in_process(own, gateway, listener=listener) as served:
        yield served


def other_port(make: MakeSettings) -> Settings:
    """Of a worker that is reached by the port of clients only."""
    return make(admin_bind="127.0.0.1:1", api_keys=Secret(KEY))


@asynccontextmanager
async def looking(served: InProcess) -> AsyncIterator[CentrifugeClient]:
    async with centrifuge_socket(served.port, PATH) as page:
        await page.connect(token=KEY)
        await page.subscribe(REPORTS)
        yield page


async def report_of(page: CentrifugeClient, served: InProcess) -> dict[str, Any]:
    """The next report of this worker."""
    while True:
        report: dict[str, Any] = (await page.publication())["data"]
        if report.get("worker") == served.worker.me:
            return report


async def test_its_files_need_no_key_and_run_nothing_of_others(settings: MakeSettings) -> None:
    async with admin_port(settings) as served, httpx.AsyncClient(base_url=served.url) as http:
        for path in FILES:
            answer = await http.get(path)
            assert answer.status_code == 200, path
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
        page = (await http.get("/admin/")).text
        assert 'name="gateway-keys" content="some"' in page
        assert KEY not in page
        moved = await http.get("/admin")

    assert (moved.status_code, moved.headers["location"]) == (307, "admin/")


async def test_without_a_key_it_says_so_and_lets_nobody_in(settings: MakeSettings) -> None:
    async with (
        admin_port(settings, key="") as served,
        httpx.AsyncClient(base_url=served.url) as http,
        centrifuge_socket(served.port, PATH) as page,
    ):
        assert 'name="gateway-keys" content="none"' in (await http.get("/admin/")).text
        assert (await http.get("/@workers")).status_code == 403
        page.say(page.command(connect={"token": ""}))

        assert await page.closed() == (3500, "invalid token")


async def test_the_secret_of_an_aws_access_key_is_no_key_of_a_person(
    settings: MakeSettings,
) -> None:
    pair = Secret("BACKENDSKEYID0000001:the-secret-of-a-backend")
    async with (
        admin_port(settings, key="", aws_access_keys=pair) as served,
        httpx.AsyncClient(base_url=served.url) as http,
        centrifuge_socket(served.port, PATH) as page,
    ):
        assert 'name="gateway-keys" content="none"' in (await http.get("/admin/")).text
        page.say(page.command(connect={"token": "the-secret-of-a-backend"}))

        assert await page.closed() == (3500, "invalid token")


@pytest.mark.parametrize("one_port", [True, False])
async def test_the_port_of_clients_knows_nothing_of_it(
    settings: MakeSettings, *, one_port: bool
) -> None:
    own = settings(api_keys=Secret(KEY)) if one_port else other_port(settings)
    async with in_process(own) as served, httpx.AsyncClient(base_url=served.url) as http:
        statuses = [(await http.get(path)).status_code for path in (*FILES, PATH, "/admin")]
        refused = await handshake(served.port, PATH)

    assert statuses == [404] * len(statuses)
    assert refused.status in (403, 404)


@pytest.mark.parametrize("token", ["another", "", KEY + "\udc80", KEY[:-1]])
async def test_a_key_that_is_none_opens_nothing(settings: MakeSettings, token: str) -> None:
    async with admin_port(settings) as served, centrifuge_socket(served.port, PATH) as page:
        page.say(page.command(connect={"token": token}))

        assert await page.closed() == (3500, "invalid token")


async def test_keys_that_are_none_are_counted_and_told_with_the_address(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counters, "fold", lambda _: None)
    with capture_logs() as logs:
        async with admin_port(settings) as served:
            for _ in range(3):
                async with centrifuge_socket(served.port, PATH) as page:
                    page.say(page.command(connect={"token": "another"}))
                    await page.closed()
            counted = served.worker.parts.counters.admin_keys_refused
    told = [each for each in logs if each["event"] == "admin key refused"]

    assert counted == 3
    assert len(told) == 1
    assert told[0].items() >= {"log_level": "warning", "address": "127.0.0.1", "keys": 1}.items()
    assert "another" not in str(logs)


async def test_only_the_page_itself_may_open_it(settings: MakeSettings) -> None:
    with capture_logs() as logs:
        async with admin_port(settings, allowed_origins=("*",)) as served:
            stranger = await handshake(served.port, PATH, Origin="http://elsewhere.example")
            host = f"127.0.0.1:{served.port}"
            page = await handshake(served.port, PATH, Host=host, Origin=f"http://{host}")
    [told] = [each for each in logs if each["event"] == "origin refused"]

    assert (stranger.status, page.status) == (403, 101)
    assert "whatever GATEWAY_ALLOWED_ORIGINS says" in told["help"]


async def test_keys_are_not_tried_without_end(settings: MakeSettings) -> None:
    async with admin_port(settings) as served:
        tried = [(await handshake(served.port, PATH)).status for _ in range(60)]

    assert 429 in tried


async def test_sockets_that_show_no_key_take_no_place_of_those_that_do(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_socket, "HANDSHAKES_PER_S", 1000)
    async with admin_port(settings) as served, AsyncExitStack() as silent:
        for _ in range(admin_socket.MAX_SOCKETS):
            await silent.enter_async_context(centrifuge_socket(served.port, PATH))
        async with looking(served) as page:
            await report_of(page, served)


async def test_a_socket_that_shows_no_key_is_closed_soon(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_socket, "KEY_WITHIN_S", 0.1)
    async with admin_port(settings) as served, centrifuge_socket(served.port, PATH) as page:
        async with asyncio.timeout(5):
            assert await page.closed() == (3502, "stale")


async def test_those_that_have_shown_a_key_are_bounded_and_leave_their_places(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_socket, "MAX_SOCKETS", 1)
    async with admin_port(settings) as served:
        async with looking(served), centrifuge_socket(served.port, PATH) as another:
            refused = await another.ask(connect={"token": KEY})
        await eventually(lambda: not list(served.worker.parts.hub), "the end of their sockets")
        async with looking(served):
            pass

    assert (refused["error"]["code"], refused["error"]["temporary"]) == (100, True)


async def test_both_workers_report_while_somebody_looks_at_one(settings: MakeSettings) -> None:
    async with admin_port(settings) as one, in_process(other_port(settings)) as two:
        known = one.worker.parts.members.known
        await eventually(lambda: two.worker.me in known, "the other")
        async with looking(one) as page, raw_websocket(two.port) as client:
            client.say("hello")
            await client.texts(1)
            async with asyncio.timeout(10):
                own = await report_of(page, one)
                told = await report_of(page, two)
                while not (told["totals"]["received"] and told["connections"]):
                    told = await report_of(page, two)

    assert (own["connections"], own["totals"]["received"]) == (0, 0)  # of clients only
    assert (told["connections"], told["totals"]["received"], told["totals"]["handled"]) == (1, 1, 1)
    assert told["redis"] == "ok"
    assert told["leaving"] is False
    assert told["version"] == own["version"]


async def change_of(page: CentrifugeClient, worker: str) -> dict[str, Any]:
    """The next that a worker becomes."""
    while True:
        told = (await page.publication())["data"]
        for change in told.get("changes", []):
            if change["id"] == worker:
                return {**change}


async def test_what_workers_become_is_told_as_it_happens(settings: MakeSettings) -> None:
    """Red with the leases alone, which are looked at each few seconds."""
    async with admin_port(settings) as one, looking(one) as page, asyncio.timeout(20):
        await report_of(page, one)
        async with in_process(other_port(settings)) as two:
            name = two.worker.me
            arrived = await change_of(page, name)
        states = [(await change_of(page, name))["state"] for _ in range(2)]

        dead = WorkerId("d" * 16)
        await one.worker.parts.registry.renew(dead, WorkerInfo(edge=True, handler=False), 0.2)
        one.worker.parts.cluster.membership.news(Arrived(dead))
        states += [(await change_of(page, dead))["state"] for _ in range(3)]

    assert arrived.items() >= {"state": "live", "role": "both", "pid": os.getpid()}.items()
    assert states == ["leaving", "gone", "live", "fenced", "swept"]


async def test_who_is_away_of_what_redis_consists_of_is_told(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Reach(sentinels_away=1, slots_uncovered=9, masters_away={"a": True, "b": False})
    monkeypatch.setattr(RedisBroker, "reach", lambda _: away)
    async with admin_port(settings) as served, looking(served) as page:
        told = await report_of(page, served)

    assert [told[name] for name in ("mastersAway", "sentinelsAway", "slotsUncovered")] == [1, 1, 9]


async def test_nothing_is_published_while_nobody_looks(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with admin_port(settings) as served:
        published: list[Any] = []
        publish = served.worker.parts.channel_broker.publish

        def counting(publishing: Any) -> Any:
            published.append(publishing)
            return publish(publishing)

        monkeypatch.setattr(served.worker.parts.channel_broker, "publish", counting)
        for _ in range(20):
            served.worker.parts.admin.live_report.look_in()
        assert published == []
        async with looking(served) as page:
            await report_of(page, served)
        assert published


async def test_it_gets_into_no_other_channel_and_publishes_nothing(settings: MakeSettings) -> None:
    async with admin_port(settings) as served, looking(served) as page:
        refused = [
            await page.ask(subscribe={"channel": "anything"}),
            await page.ask(publish={"channel": REPORTS, "data": {}}),
            await page.ask(history={"channel": REPORTS}),
            await page.ask(presence={"channel": REPORTS}),
            await page.ask(rpc={"method": "any", "data": {}}),
        ]

    assert [reply["error"]["code"] for reply in refused] == [102, 103, 108, 108, 108]


async def test_clients_and_backends_get_into_no_channel_of_the_gateways_own(
    settings: MakeSettings,
) -> None:
    own = settings(api_keys=Secret(KEY), allow_anonymous_connect_without_token=True)
    async with (
        in_process(own) as served,
        centrifuge_socket(served.port) as client,
        raw_websocket(served.port),
        httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}) as http,
    ):
        await client.connect()
        refused = await client.ask(subscribe={"channel": REPORTS})
        name = "%40admin%3Areports"
        answers = [
            await http.put(f"/@connections/{member.id}/channels/{name}")
            for member in served.worker.parts.hub
        ]
        answers.append(await http.post(f"/@channels/{name}", json={}))
        left = len(served.worker.parts.channels)

    assert refused["error"]["code"] == 102
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert left == 0


async def test_the_application_and_the_lists_hear_nothing_of_its_socket(
    settings: MakeSettings,
) -> None:
    heard: list[str] = []
    app = Gateway()

    @app.on_connect
    async def welcome(connection: Connection) -> None:
        heard.append(f"connect {connection.id}")

    @app.on_disconnect
    async def bye(connection: Connection) -> None:
        heard.append(f"disconnect {connection.id}")

    @app.on_subscribe("@admin:*")
    async def may(subscription: Subscription) -> None:
        heard.append(f"subscribe {subscription.channel}")

    key = {"x-api-key": KEY}
    async with (
        admin_port(settings, app) as served,
        httpx.AsyncClient(base_url=served.url, headers=key) as http,
    ):
        async with looking(served) as page:
            await report_of(page, served)
            listed = (await http.get("/@connections")).json()["connections"]
            channels = (await http.get("/@channels")).json()["channels"]
            assert served.worker.parts.admission.connections == 0
        await eventually(lambda: not list(served.worker.parts.hub), "the end of its socket")

    assert (heard, listed, channels) == ([], [], [])
