"""The connection API over HTTP: every call, every status, each at its bound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway import Connection, Gateway
from gateway.config import Secret, Settings
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import InProcess, cluster
from tests.support.rawclient import raw_websocket

KEY = "the-key"
SHOWN = {"authorization": f"Bearer {KEY}"}
COUNTS = {"written": 0, "gone": 0, "slow": 0, "unreachable": 0}


def open_to_backends(make: MakeSettings, **changes: Any) -> Settings:
    return make(api_keys=Secret(KEY), **changes)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers=SHOWN, timeout=10) as client:
        yield client


def only_connection(served: InProcess) -> str:
    [member] = served.worker.hub
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
