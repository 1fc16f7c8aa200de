"""What stands before every call of the connection API: how much, who, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from gateway import Gateway
from gateway.http_api import reading
from tests.integration.conftest import MakeSettings
from tests.integration.test_http_api import (
    KEY,
    SHOWN,
    error,
    only_connection,
    open_to_backends,
    path_of,
)
from tests.support.inprocess import in_process
from tests.support.logs import capture_logs
from tests.support.rawclient import raw_websocket
from tests.support.waiting import eventually


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers=SHOWN, timeout=10) as client:
        yield client


# Bodies


@pytest.mark.parametrize("body", [b"\xff", b"ab\xc3", b"\xed\xa0\x80"])
async def test_a_body_that_is_not_utf8_is_refused(
    settings: MakeSettings, http: httpx.AsyncClient, body: bytes
) -> None:
    async with in_process(open_to_backends(settings)) as served, raw_websocket(served.port):
        answer = await http.post(served.url + path_of(served), content=body)

    assert error(answer) == (400, "BadRequestException")
    assert "UTF-8" in answer.json()["message"]


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), size):
        yield body[begin : begin + size]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_may_be_as_long_as_the_limit_and_no_longer(
    settings: MakeSettings, http: httpx.AsyncClient, chunked: bool
) -> None:
    limit = 131_072  # the default, and that of AWS
    async with (
        in_process(open_to_backends(settings)) as served,
        raw_websocket(served.port) as client,
    ):
        url = served.url + path_of(served)
        bodies = [b"x" * limit, b"x" * (limit + 1)]
        fits, over = [
            await http.post(url, content=in_pieces(body, 50_000) if chunked else body)
            for body in bodies
        ]

        assert fits.status_code == 200
        assert error(over) == (413, "PayloadTooLargeException")
        assert await client.texts(1) == ["x" * limit]


@pytest.mark.parametrize("cut", [1, 3, 50])
async def test_a_body_may_come_in_one_piece_with_the_end_of_its_head(
    settings: MakeSettings, cut: int
) -> None:
    lines = ("POST /@users/x HTTP/1.1", "Host: x", f"X-API-Key: {KEY}", "Content-Length: 131072")
    head = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
    async with in_process(open_to_backends(settings)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head[:-cut])
        connections = served.server_state.connections
        await eventually(
            lambda: [c._meter._overhead_bytes for c in connections] == [len(head) - cut],  # type: ignore[union-attr]
            "the first piece",
        )
        writer.write(head[-cut:] + b"x" * 131_072)
        answer = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()

    assert answer == b"HTTP/1.1 200 OK\r\n"


async def test_the_limit_of_bodies_is_a_setting(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with in_process(open_to_backends(settings, api_body_bytes=3)) as served:
        path = f"{served.url}/@users/nobody"

        assert (await http.post(path, content=b"abc")).status_code == 200
        assert (await http.post(path, content=b"abcd")).status_code == 413


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BODY_S", 0.05)
    async with in_process(open_to_backends(settings)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = (
            f"POST /@users/x HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: 9\r\n\r\n"
        )
        writer.write(head.encode() + b"begin")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"x-amzn-errortype: RequestTimeoutException" in answer


# Who may


@pytest.mark.parametrize("shown", [{}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}])
async def test_without_a_key_of_this_gateway_nothing_is_told(
    settings: MakeSettings, shown: dict[str, str]
) -> None:
    async with (
        in_process(open_to_backends(settings)) as served,
        httpx.AsyncClient(headers=shown) as stranger,
    ):
        for path in ("/@connections", "/@connections/x", "/@workers", "/@users/x"):
            answer = await stranger.get(served.url + path)

            assert error(answer) == (401, "ForbiddenException"), path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert set(answer.json()) == {"message"}


async def test_without_a_key_nothing_is_sent(settings: MakeSettings) -> None:
    async with (
        in_process(open_to_backends(settings)) as served,
        raw_websocket(served.port) as client,
        httpx.AsyncClient() as stranger,
    ):
        await stranger.post(served.url + path_of(served), content="stolen")
        await stranger.delete(served.url + path_of(served))
        await served.gateway.send(only_connection(served), "first")

        assert await client.texts(1) == ["first"]


async def test_a_gateway_without_keys_takes_no_calls(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with in_process(settings()) as served:
        answer = await http.get(served.url + "/@workers")

    assert error(answer) == (403, "ForbiddenException")
    assert "GATEWAY_API_KEYS" in answer.json()["message"]


async def test_a_gateway_without_keys_reads_no_bodies(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"POST /@users/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        answer = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()

    assert answer == b"HTTP/1.1 403 Forbidden\r\n"


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "X-API-Key: wrong\r\n",
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=ID/20260101/r/execute-api/aws4_request, "
            f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}\r\n"
            "X-Amz-Date: 20260101T000000Z\r\n"
        ),
    ],
)
async def test_of_a_stranger_no_body_is_read(settings: MakeSettings, shown: str) -> None:
    async with in_process(open_to_backends(settings)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = f"POST /@users/x HTTP/1.1\r\nHost: x\r\n{shown}Content-Length: 9\r\n\r\n"
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()

    assert answer.split()[1] in {b"401", b"403"}


@pytest.mark.parametrize("path", ["/@users/..", "/@users/a/..", "/@connections/%2e%2e/x"])
async def test_a_path_with_dots_names_nothing(settings: MakeSettings, path: str) -> None:
    """A proxy that guards these paths may have taken it for another one."""
    async with in_process(open_to_backends(settings)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()

    assert answer == b"HTTP/1.1 410 Gone\r\n"


async def test_a_gateway_that_does_not_run_says_so(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    mounting = Starlette(routes=[Mount("/ws", Gateway(settings()).asgi())])
    transport = httpx.ASGITransport(mounting)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as inside:
        answer = await inside.get("/ws/@workers")

    assert error(answer) == (503, "ServiceUnavailableException")
    assert "lifespan" in answer.json()["message"]


# How often


async def test_more_calls_a_second_than_allowed_are_refused_and_those_of_strangers_do_not_count(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with in_process(open_to_backends(settings, api_requests_per_second=2)) as served:
        url = served.url + "/@users/x"
        for _ in range(5):
            assert (await http.get(url, headers={"authorization": "no"})).status_code == 401
        answers = [await http.get(url) for _ in range(30)]

    assert [a.status_code for a in answers[:2]] == [200, 200]
    refused = next(a for a in answers if a.status_code != 200)
    assert error(refused) == (429, "LimitExceededException")
    assert refused.headers["retry-after"] == "1"
    assert "receipt" not in refused.json()


async def test_by_default_there_is_no_such_limit(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with in_process(open_to_backends(settings)) as served:
        answers = [await http.get(served.url + "/@users/x") for _ in range(200)]

    assert {a.status_code for a in answers} == {200}


async def test_a_wrong_key_is_logged_with_its_address_and_without_the_key(
    settings: MakeSettings,
) -> None:
    """Red when nothing is logged: of who tries keys only the network knew."""
    async with in_process(open_to_backends(settings)) as served, httpx.AsyncClient() as http:
        with capture_logs() as logs:
            for _ in range(3):
                tried = {"X-API-Key": "tried-by-somebody"}
                assert (await http.get(served.url + "/@workers", headers=tried)).status_code == 401

    [line] = [line for line in logs if line["event"] == "api key refused"]
    assert (line["addresses"], line["calls"], line["reason"]) == (["127.0.0.1"], 1, "wrong_key")
    assert "tried-by-somebody" not in repr(logs)
