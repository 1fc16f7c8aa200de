"""What answers at which path, and what it costs to find that out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.application.routes import Routes
from gateway.settings.config import Settings

SETTINGS = Settings(page=True)


class Asked:
    """A gateway that does not run, and how often it was asked whether it does."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.times = 0
        self.app = Routes(self._worker, lambda: settings).starlette()

    def _worker(self) -> None:
        self.times += 1


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def http(asked: Asked) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(asked.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("path", ["/@channels/a%2Fb", "/@connections", "/@users/ann", "/@workers"])
async def test_a_call_of_the_api_asks_no_other_route(
    asked: Asked, http: httpx.AsyncClient, path: str
) -> None:
    """Red before: all routes that stood before asked for the settings, 80 times a call."""
    answered = await http.request("POST", path)

    assert answered.status_code == 503  # it does not run
    assert asked.times <= 5


@pytest.mark.parametrize("path", ["/", "/page.js", "/admin/", "/admin", "/admin/admin.js"])
async def test_no_route_is_answered_by_a_thread(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red while the pages were: the first request of a worker's life held its loop for 0.3 s, in
    which all that threads need was imported, and forty at once were forty threads.
    """

    async def thread(*_: object) -> None:
        raise AssertionError("a thread is used")

    monkeypatch.setattr("starlette.routing.run_in_threadpool", thread)
    app = Asked(replace(SETTINGS, admin_bind="127.0.0.1:80")).app
    server = ("127.0.0.1", 80 if path.startswith("/admin") else 81)

    async def served(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "server": server}, receive, send)

    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get(path)).status_code in (200, 307)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("GET", "/readyz", 503),
        ("GET", "/metrics", 200),
        ("GET", "/@openapi.json", 200),
        ("POST", "/@openapi.json", 405),
        ("GET", "/", 200),
        ("GET", "/communicate", 426),
        ("GET", "/@nothing", 404),
        ("GET", "/x/@workers", 404),
        ("GET", "/%40workers", 503),
    ],
)
async def test_every_path_is_what_it_was(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert (await http.request(method, path)).status_code == status


@pytest.mark.parametrize(("port", "status"), [(8000, 404), (9000, 503)])
async def test_with_a_port_for_backends_the_api_is_nowhere_else(port: int, status: int) -> None:
    app = Asked(replace(SETTINGS, admin_bind="127.0.0.1:9000")).app
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://localhost:{port}"
    ) as client:
        assert (await client.post("/@channels/a")).status_code == status
