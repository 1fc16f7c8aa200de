"""The connection API over HTTP: every call, every status, each at its bound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway import Connection, Gateway
from gateway.settings.config import Settings
from gateway.settings.values import Secret
from tests.integration.applications import talkative
from tests.integration.conftest import MakeSettings
from tests.integration.test_slow_readers import stop_reading
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.rawclient import raw_websocket
from tests.support.waiting import eventually

KEY = "the-key"
SHOWN = {"authorization": f"Bearer {KEY}"}


def open_to_backends(make: MakeSettings, **changes: Any) -> Settings:
    return make(api_keys=Secret(KEY), **changes)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers=SHOWN, timeout=10) as client:
        yield client


def only_connection(served: InProcess) -> str:
    [member] = served.worker.parts.hub
    return member.id


def path_of(served: InProcess) -> str:
    return f"/@connections/{only_connection(served)}"


def error(answer: httpx.Response) -> tuple[int, str]:
    assert answer.json()["message"]
    return answer.status_code, answer.headers["x-amzn-errortype"]


def welcoming(user: str) -> Gateway:
    app = Gateway()

    @app.on_connect
    async def welcome(connection: Connection) -> str:
        return user

    return app


# One connection


@pytest.mark.parametrize("asked", [0, 1])
async def test_a_body_that_is_posted_is_one_text_frame(
    settings: MakeSettings, http: httpx.AsyncClient, asked: int
) -> None:
    async with (
        cluster(open_to_backends(settings), 2) as workers,
        raw_websocket(workers[0].port) as client,
    ):
        answer = await http.post(
            workers[asked].url + path_of(workers[0]), content="grüße\n".encode()
        )

        assert (answer.status_code, answer.json()) == (200, {"receipt": "written"})
        assert answer.headers["content-type"] == "application/json"
        assert await client.texts(1) == ["grüße\n"]


async def test_an_empty_body_is_an_empty_frame(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with (
        in_process(open_to_backends(settings)) as served,
        raw_websocket(served.port) as client,
    ):
        assert (await http.post(served.url + path_of(served))).status_code == 200
        assert await client.texts(1) == [""]


@pytest.mark.parametrize("asked", [0, 1])
async def test_the_owner_tells_of_a_connection(
    settings: MakeSettings, http: httpx.AsyncClient, asked: int
) -> None:
    gateways = [welcoming("ali"), welcoming("ali")]
    async with (
        cluster(open_to_backends(settings), 2, gateways) as workers,
        raw_websocket(workers[0].port, **{"User-Agent": "a phone"}),
    ):
        answer = await http.get(workers[asked].url + path_of(workers[0]))

    told = answer.json()
    assert answer.status_code == 200
    assert set(told) == {
        "connectedAt", "lastActiveAt", "identity", "user", "channels",
        "waitingBytes", "received", "sent", "unanswered", "handledBy",
    }  # fmt: skip
    assert told["user"] == "ali"
    assert told["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "a phone"}
    times = [datetime.fromisoformat(told[name]) for name in ("connectedAt", "lastActiveAt")]
    now = datetime.now(UTC)
    assert now - timedelta(minutes=1) < times[0] <= times[1] <= now + timedelta(seconds=1)


async def test_no_user_is_told_of_where_there_is_none(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with in_process(open_to_backends(settings)) as served, raw_websocket(served.port):
        assert "user" not in (await http.get(served.url + path_of(served))).json()


@pytest.mark.parametrize(
    ("query", "closed"),
    [
        ("", (3503, "disconnected")),
        ("?code=4000", (4000, "disconnected")),
        ("?reason=bye", (3503, "bye")),
        ("?code=1000&reason=see+you%21", (1000, "see you!")),
        ("?code=4999&reason=" + "x" * 123, (4999, "x" * 123)),
    ],
)
async def test_a_connection_is_closed_as_the_query_says(
    settings: MakeSettings, http: httpx.AsyncClient, query: str, closed: tuple[int, str]
) -> None:
    async with (
        cluster(open_to_backends(settings), 2) as workers,
        connect(workers[0].ws_url, proxy=None) as client,
    ):
        answer = await http.delete(workers[1].url + path_of(workers[0]) + query)

        assert (answer.status_code, answer.content) == (204, b"")
        assert await client.recv() == "Bye!!!"
        with pytest.raises(ConnectionClosed) as ended:
            await client.recv()
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == closed


async def test_a_close_that_cannot_be_sent_is_refused(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    queries = [
        *("code=1001", "code=2999", "code=5000", "code=x", "code=", "code=4000&code=4001"),
        *("reason=", "reason=" + "é" * 62, "reson=bye"),
    ]
    async with in_process(open_to_backends(settings)) as served, raw_websocket(served.port):
        for query in queries:
            answer = await http.delete(f"{served.url}{path_of(served)}?{query}")

            assert error(answer) == (400, "BadRequestException"), query
        assert len(served.worker.parts.hub) == 1


# Receipts


NO_IDS = ["", "x", "a/b", "%2e%2e", "a" * 16, "a" * 16 + "." + "%C3%A9" * 22, "x%0Ay", "%ff", "*"]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_what_is_no_id_is_gone(
    settings: MakeSettings, http: httpx.AsyncClient, method: str
) -> None:
    async with in_process(open_to_backends(settings)) as served:
        for connection in NO_IDS:
            answer = await http.request(method, f"{served.url}/@connections/{connection}")

            assert error(answer) == (410, "GoneException"), connection
            assert answer.json()["receipt"] == "gone"


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize("asked", [0, 1])
async def test_what_is_closed_is_gone(
    settings: MakeSettings, http: httpx.AsyncClient, method: str, asked: int
) -> None:
    async with cluster(open_to_backends(settings), 2) as workers:
        async with raw_websocket(workers[0].port):
            path = path_of(workers[0])
        await eventually(lambda: not len(workers[0].worker.parts.hub), "the end")

        answer = await http.request(method, workers[asked].url + path)

    assert error(answer) == (410, "GoneException")


async def test_a_socket_that_is_full_is_slow(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    own = open_to_backends(settings, outbox_bytes=100_000)
    async with (
        cluster(own, 2, [talkative(), talkative()]) as workers,
        raw_websocket(workers[0].port) as client,
    ):
        await stop_reading(workers[0], client)

        answer = await http.post(workers[1].url + path_of(workers[0]), content=b"x" * 100_000)

    assert error(answer) == (429, "LimitExceededException")
    assert answer.json()["receipt"] == "slow"
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_a_worker_that_nobody_knows_is_unreachable_until_its_absence_is_old(
    settings: MakeSettings, http: httpx.AsyncClient, method: str
) -> None:
    async with in_process(open_to_backends(settings, lease_seconds=300)) as served:
        nobody = new_connection_id(new_worker_id())

        answer = await http.request(method, f"{served.url}/@connections/{nobody}")

    assert error(answer) == (503, "ServiceUnavailableException")
    assert answer.json()["receipt"] == "unreachable"
    assert answer.headers["retry-after"] == "1"


# Keys of idempotency


@pytest.mark.parametrize("name", ["Idempotency-Key", "amz-sdk-invocation-id"])
@pytest.mark.parametrize("length", [1, 255])
async def test_the_same_key_writes_the_same_text_once(
    settings: MakeSettings, http: httpx.AsyncClient, name: str, length: int
) -> None:
    key = {name: "k" * length}
    async with (
        cluster(open_to_backends(settings), 2) as workers,
        raw_websocket(workers[0].port) as client,
    ):
        path = path_of(workers[0])
        first = await http.post(workers[0].url + path, content="once", headers=key)
        again = await http.post(workers[1].url + path, content="once", headers=key)
        other = await http.post(workers[1].url + path, content="once")

        assert [a.status_code for a in (first, again, other)] == [200, 200, 200]
        await http.post(workers[0].url + path, content="last")
        assert await client.texts(3) == ["once", "once", "last"]


async def test_a_key_of_ones_own_comes_before_that_of_an_sdk(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with (
        in_process(open_to_backends(settings)) as served,
        raw_websocket(served.port) as client,
    ):
        for attempt in ("1", "2"):
            headers = {"idempotency-key": "k", "amz-sdk-invocation-id": attempt}
            await http.post(served.url + path_of(served), content="once", headers=headers)
        await http.post(served.url + path_of(served), content="last")

        assert await client.texts(2) == ["once", "last"]


@pytest.mark.parametrize("name", ["Idempotency-Key", "amz-sdk-invocation-id"])
@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_that_is_too_long_or_empty_is_refused(
    settings: MakeSettings, http: httpx.AsyncClient, name: str, key: str
) -> None:
    async with in_process(open_to_backends(settings)) as served, raw_websocket(served.port):
        answer = await http.post(served.url + path_of(served), headers={name: key})

    assert error(answer) == (400, "BadRequestException")
    assert name.lower() in answer.json()["message"]


# Methods and parameters


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD"])
async def test_a_method_that_is_not_there_is_refused(
    settings: MakeSettings, http: httpx.AsyncClient, method: str
) -> None:
    async with in_process(open_to_backends(settings)) as served:
        answer = await http.request(method, served.url + "/@connections/x")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST, GET, DELETE"


async def test_a_path_that_is_percent_encoded_is_the_same(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with in_process(open_to_backends(settings)) as served, raw_websocket(served.port):
        path = path_of(served).replace("@", "%40").replace(".", "%2E")

        assert (await http.get(served.url + path)).status_code == 200


async def test_every_call_is_counted_by_method_and_status(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    def counted() -> list[float]:
        name, labels = "gateway_api_requests_total", [("POST", "410"), ("other", "405")]
        values = [{"method": method, "status": status} for method, status in labels]
        return [REGISTRY.get_sample_value(name, value) or 0.0 for value in values]

    async with in_process(open_to_backends(settings)) as served:
        before = counted()
        for method in ("POST", "OPTIONS", "PATCH"):
            await http.request(method, served.url + "/@connections/x")

        await eventually(lambda: counted() == [before[0] + 1, before[1] + 2], "the counts")


async def test_no_log_shows_what_was_sent(
    settings: MakeSettings, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "gateway")
    async with in_process(open_to_backends(settings)) as served, raw_websocket(served.port):
        headers = {"idempotency-key": "hidden-id"}
        await http.post(served.url + path_of(served), content="hidden-text", headers=headers)
        await http.post(served.url + path_of(served), content=b"hidden\xff", headers=headers)

    shown = "".join(str(vars(record)) for record in caplog.records)
    assert shown
    assert "hidden" not in shown
    assert KEY not in shown
