"""Handshakes that are refused: real HTTP before any socket, with a count for each reason."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import handshake, raw_websocket
from tests.support.waiting import eventually, eventually_async


def refusals(counted: Counted, reason: str) -> float:
    return counted("gateway_handshakes_refused_total", reason=reason)


@pytest.mark.parametrize(
    ("bound", "status", "reason"),
    [
        ({"max_connections": 2}, 503, "max_connections"),
        ({"max_connections_per_address": 2}, 429, "address"),
        ({"handshakes_per_second": 2}, 429, "handshake_rate"),
    ],
)
async def test_one_handshake_past_the_bound_is_told_to_come_back(
    settings: MakeSettings, bound: dict[str, Any], status: int, reason: str
) -> None:
    async with in_process(settings(**bound)) as served, AsyncExitStack() as stack:
        counted = Counted(served)
        for _ in range(2):
            await stack.enter_async_context(raw_websocket(served.port))
        answer = await handshake(served.port)

        assert answer.status == status
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.body.strip()
        assert refusals(counted, reason) == 1
        assert counted("gateway_connections_opened_total") == 2


@pytest.mark.parametrize("bound", ["max_connections", "max_connections_per_address"])
async def test_a_connection_that_ends_makes_room(settings: MakeSettings, bound: str) -> None:
    async with in_process(settings(**{bound: 1})) as served:
        async with raw_websocket(served.port):
            assert served.worker.parts.admission.connections == 1
        await eventually(lambda: not served.worker.parts.admission.connections, "the end")

        async with raw_websocket(served.port) as client:
            client.say("hello")
            assert await client.texts(1) == ["Received:hello"]


async def test_the_handshake_rate_lets_through_again_after_a_while(
    settings: MakeSettings,
) -> None:
    async with in_process(settings(handshakes_per_second=10)) as served:
        statuses = [(await handshake(served.port)).status for _ in range(12)]

        async def again() -> bool:
            return (await handshake(served.port)).status == 101

        assert statuses[:10] == [101] * 10
        await eventually_async(again, "another handshake")


@pytest.mark.parametrize(
    ("allowed", "admitted", "refused"),
    [
        (
            (),
            [{}, {"Origin": "http://localhost"}, {"Origin": "https://shop:81", "Host": "shop:81"}],
            [{"Origin": "http://evil"}, {"Origin": "null"}, {"Origin": "http://localhost:81"}],
        ),
        (
            ("https://app.example", "null"),
            [{}, {"Origin": "https://app.example"}, {"Origin": "null"}],
            [{"Origin": "http://app.example"}, {"Origin": "http://localhost"}],
        ),
        (("*",), [{}, {"Origin": "http://evil"}, {"Origin": "null"}], []),
    ],
)
async def test_only_pages_of_allowed_origins_may_connect(
    settings: MakeSettings,
    allowed: tuple[str, ...],
    admitted: list[dict[str, str]],
    refused: list[dict[str, str]],
) -> None:
    async with in_process(settings(allowed_origins=allowed)) as served:
        counted = Counted(served)

        assert [await _status(served, headers) for headers in admitted] == [101] * len(admitted)
        assert [await _status(served, headers) for headers in refused] == [403] * len(refused)
        assert refusals(counted, "origin") == len(refused)


async def test_only_allowed_host_names_are_served(settings: MakeSettings) -> None:
    async with (
        in_process(settings(allowed_hosts=("gateway.example",))) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False) as http,
    ):
        counted = Counted(served)
        right, wrong = {"Host": "gateway.example:8000"}, {"Host": "rebound.example"}

        assert await _status(served, right) == 101
        assert await _status(served, wrong) == 403
        assert refusals(counted, "host") == 1
        assert (await http.get("/", headers=right)).status_code == 200
        assert (await http.get("/", headers=wrong)).status_code == 403


async def test_a_refused_handshake_is_not_a_connection(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        counted = Counted(served)
        await handshake(served.port, Origin="http://evil")
        await eventually(lambda: not served.worker.parts.admission.connections, "the end")

        assert len(served.worker.parts.hub) == len(served.worker.parts.dispatcher) == 0
        assert counted("gateway_connections_opened_total") == 0


async def _status(served: InProcess, headers: dict[str, str]) -> int:
    return (await handshake(served.port, **headers)).status
