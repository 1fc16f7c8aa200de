"""boto3 as it is, with its client of Amazon's API Gateway: calls, exceptions, retries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.asyncio.client import connect

from gateway import Gateway
from gateway.protocol.receipt import Receipt
from gateway.settings.config import Settings
from gateway.settings.values import Secret
from tests.integration.applications import talkative
from tests.integration.conftest import MakeSettings
from tests.integration.test_http_api import only_connection
from tests.integration.test_slow_readers import stop_reading
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.inprocess import cluster, in_process
from tests.support.rawclient import raw_websocket
from tests.support.waiting import eventually

ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def signed(make: MakeSettings, **changes: Any) -> Settings:
    return make(aws_access_keys=Secret(f"{ID}:{SECRET}"), **changes)


class Aws:
    """A client of boto3, whose calls run in a thread.

    ``attempts`` is how often it tries in all; boto3's own default is 3 or more.
    """

    def __init__(self, url: str, *, secret: str = SECRET, attempts: int = 1) -> None:
        self.client = boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=url,
            region_name="eu-central-1",
            aws_access_key_id=ID,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
        )
        self.errors = self.client.exceptions

    async def post(self, connection: str, data: bytes) -> Any:
        return await self._call(self.client.post_to_connection, connection, Data=data)

    async def get(self, connection: str) -> Any:
        return await self._call(self.client.get_connection, connection)

    async def delete(self, connection: str) -> Any:
        return await self._call(self.client.delete_connection, connection)

    async def _call(self, call: Callable[..., Any], connection: str, **more: Any) -> Any:
        return await asyncio.to_thread(call, ConnectionId=connection, **more)


@asynccontextmanager
async def aws(url: str, **options: Any) -> AsyncIterator[Aws]:
    client = await asyncio.to_thread(Aws, url, **options)
    with closing(client.client):
        yield client


@pytest.mark.parametrize("asked", [0, 1])
async def test_post_reaches_the_socket(settings: MakeSettings, asked: int) -> None:
    async with (
        cluster(signed(settings), 2) as workers,
        raw_websocket(workers[0].port) as client,
        aws(workers[asked].url) as api,
    ):
        answer = await api.post(only_connection(workers[0]), "grüße".encode())

        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert await client.texts(1) == ["grüße"]


async def test_get_tells_what_the_owner_knows(settings: MakeSettings) -> None:
    async with (
        in_process(signed(settings)) as served,
        raw_websocket(served.port, **{"User-Agent": "a phone"}),
        aws(served.url) as api,
    ):
        told = await api.get(only_connection(served))

    assert told["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "a phone"}
    now = datetime.now(UTC)
    assert now - timedelta(minutes=1) < told["ConnectedAt"] <= told["LastActiveAt"]


async def test_delete_closes_the_socket(settings: MakeSettings) -> None:
    async with (
        in_process(signed(settings)) as served,
        connect(served.ws_url, proxy=None),
        aws(served.url) as api,
    ):
        answer = await api.delete(only_connection(served))

        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        await eventually(lambda: not len(served.worker.parts.hub), "the end")


@pytest.mark.parametrize("call", ["post", "get", "delete"])
@pytest.mark.parametrize("connection", ["x", "a/b", "L0SM9cOFvHcCIhw="])
async def test_what_is_gone_is_a_gone_exception(
    settings: MakeSettings, call: str, connection: str
) -> None:
    async with in_process(signed(settings)) as served, aws(served.url) as api:
        data = (b"x",) if call == "post" else ()
        with pytest.raises(api.errors.GoneException) as error:
            await getattr(api, call)(connection, *data)

    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 410
    assert "no such open connection" in error.value.response["Error"]["Message"]


async def test_what_is_too_long_is_a_payload_too_large_exception(settings: MakeSettings) -> None:
    async with (
        in_process(signed(settings)) as served,
        raw_websocket(served.port),
        aws(served.url) as api,
    ):
        with pytest.raises(api.errors.PayloadTooLargeException) as error:
            await api.post(only_connection(served), b"x" * 131_073)

    assert "131072" in error.value.response["Error"]["Message"]


async def test_a_megabyte_is_answered_too(settings: MakeSettings) -> None:
    async with in_process(signed(settings)) as served, aws(served.url) as api:
        with pytest.raises(api.errors.PayloadTooLargeException):
            await api.post("x", b"x" * 10_000_000)


async def test_a_slow_socket_is_a_limit_exceeded_exception(settings: MakeSettings) -> None:
    async with (
        in_process(signed(settings, outbox_bytes=100_000), talkative()) as served,
        raw_websocket(served.port) as client,
        aws(served.url) as api,
    ):
        await stop_reading(served, client)
        with pytest.raises(api.errors.LimitExceededException):
            await api.post(only_connection(served), b"x" * 100_000)


async def test_too_many_calls_are_a_limit_exceeded_exception(settings: MakeSettings) -> None:
    async with (
        in_process(signed(settings, api_requests_per_second=1)) as served,
        aws(served.url) as api,
    ):
        calls = (api.get("x") for _ in range(20))
        answers = await asyncio.gather(*calls, return_exceptions=True)

    refused = [a for a in answers if isinstance(a, api.errors.LimitExceededException)]
    assert "too many requests" in refused[0].response["Error"]["Message"]


async def test_a_wrong_secret_is_a_forbidden_exception(settings: MakeSettings) -> None:
    async with (
        in_process(signed(settings)) as served,
        raw_websocket(served.port),
        aws(served.url, secret="another") as api,
    ):
        with pytest.raises(api.errors.ForbiddenException) as error:
            await api.post(only_connection(served), b"x")

    assert "signature" in error.value.response["Error"]["Message"]


async def test_no_access_keys_is_a_forbidden_exception(settings: MakeSettings) -> None:
    async with in_process(settings()) as served, aws(served.url) as api:
        with pytest.raises(api.errors.ForbiddenException):
            await api.post("x", b"x")


async def test_what_nobody_knows_is_an_error_that_is_tried_again_by_itself(
    settings: MakeSettings,
) -> None:
    nobody = new_connection_id(new_worker_id())
    async with (
        in_process(signed(settings, lease_seconds=300)) as served,
        aws(served.url, attempts=2) as api,
    ):
        with pytest.raises(ClientError) as error:
            await api.post(nobody, b"x")

    metadata = error.value.response["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], metadata["RetryAttempts"]) == (503, 1)


async def test_a_repeat_of_boto3_is_written_once(settings: MakeSettings) -> None:
    async with (
        in_process(signed(settings)) as served,
        raw_websocket(served.port) as client,
        aws(served.url, attempts=2) as api,
    ):
        requests_to_owners, asked = served.worker.parts.requests_to_owners, 0
        send = requests_to_owners.send

        async def lose_the_first_answer(*arguments: Any, **options: Any) -> Receipt:
            nonlocal asked
            asked += 1
            receipt = await send(*arguments, **options)
            return Receipt.UNREACHABLE if asked == 1 else receipt

        requests_to_owners.send = lose_the_first_answer  # type: ignore[method-assign]
        answer = await api.post(only_connection(served), b"once")
        requests_to_owners.send = send  # type: ignore[method-assign]
        await api.post(only_connection(served), b"last")

        assert answer["ResponseMetadata"]["RetryAttempts"] == 1
        assert await client.texts(2) == ["once", "last"]


async def test_below_a_prefix_the_whole_path_is_what_was_signed(settings: MakeSettings) -> None:
    inner = Gateway()
    mounting = Starlette(lifespan=inner.lifespan, routes=[Mount("/ws", inner.asgi())])
    async with (
        in_process(signed(settings), inner, app=mounting) as served,
        raw_websocket(served.port, "/ws/communicate") as client,
        aws(f"{served.url}/ws") as api,
    ):
        await api.post(only_connection(served), b"mounted")

        assert await client.texts(1) == ["mounted"]
