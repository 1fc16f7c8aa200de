"""Who comes when a worker has just started: it listens once it can serve, and early is fine."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from gateway.app import create_app, echo_gateway
from gateway.settings.config import Settings
from gateway.settings.values import Secret
from gateway.worker.health import FOLDER_VARIABLE
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import InProcess, in_process
from tests.support.logs import capture_logs
from tests.support.ports import free_port
from tests.support.rawclient import handshake

with warnings.catch_warnings():  # of the library that it uses
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


def alone() -> ASGIApp:
    return create_app(echo_gateway(), Settings())


def mounted() -> ASGIApp:
    gateway = echo_gateway()
    gateway.settings = Settings()
    return Starlette(lifespan=gateway.lifespan, routes=[Mount("/", gateway.asgi())])


@pytest.mark.parametrize("make", [alone, mounted])
def test_starlettes_test_client_is_served_at_once(make: Callable[[], ASGIApp]) -> None:
    """Red when the lifespan is over before the worker can serve: the first handshake gets 503.

    And when a cancelled socket raises another cancellation than its own: leaving a block raised it.
    """
    with TestClient(make()) as client:
        for _ in range(3):
            with client.websocket_connect("/communicate") as websocket:
                websocket.send_text("hello")
                assert websocket.receive_text() == "Received:hello"
            assert client.get("/readyz").status_code == 200


async def test_a_server_that_listens_is_ready(settings: MakeSettings) -> None:
    async with in_process(settings(), wait_ready=False) as served:
        assert served.worker.ready
        assert (await handshake(served.port)).status == 101


async def test_without_redis_it_listens_all_the_same_and_says_so(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.readiness.START_S", 0.2)
    nowhere = settings(redis_url=Secret(f"redis://127.0.0.1:{free_port()}/0"))
    with capture_logs() as logs:
        async with in_process(nowhere, wait_ready=False) as served:
            for name in ("START_S", "SOON_S"):  # nobody waits for this
                monkeypatch.setattr(f"gateway.worker.readiness.{name}", 3600.0)
            answer = await handshake(served.port)
            assert await statuses(served, "/livez", "/readyz") == [200, 503]

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert [line["event"] for line in logs].count("worker not ready yet") == 1


async def test_a_handshake_that_comes_early_waits(settings: MakeSettings) -> None:
    """As under a server that does not wait for the lifespan."""
    async with in_process(settings(lease_seconds=1)) as served:
        served.worker.readiness._starting = True
        served.worker.parts.cluster.lease_guard.unregister()  # until the next renewal

        assert (await handshake(served.port)).status == 101


@pytest.mark.parametrize("sibling", [True, False], ids=["ready", "not ready either"])
async def test_a_worker_behind_its_sibling_catches_up_before_it_answers(
    settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sibling: bool
) -> None:
    """The port has said that it is ready, and nobody can choose which worker accepts."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr("gateway.worker.readiness.SOON_S", 10.0)
    # The next renewal is to come soon, or not at all.
    async with in_process(settings(lease_seconds=1 if sibling else 300)) as served:
        if sibling:
            (tmp_path / "ready-1").touch()
        served.worker.parts.cluster.lease_guard.unregister()

        assert (await handshake(served.port)).status == (101 if sibling else 503)


async def statuses(served: InProcess, *paths: str) -> list[int]:
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
        return [(await http.get(path)).status_code for path in paths]
