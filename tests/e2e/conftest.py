"""A browser; two gateways that share a Redis, and the shipped nginx before them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import chromium
from tests.support.nginx import Nginx
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.serve import ROOT, Served

GUIDE = ROOT / "docs" / "guides" / "reverse-proxies.md"


def environment(redis_url: str, prefix: str) -> dict[str, str]:
    return {
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_REDIS_PREFIX": prefix,
        "GATEWAY_TRACE": "on",
        "GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
        "GATEWAY_DRAIN_SECONDS": "3",
    }


def below_a_path() -> str:
    """The guide's way to serve the gateway below a path."""
    blocks = re.findall(r"```nginx\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    [block] = [block for block in blocks if "location /chat/" in block]
    return str(block)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def gateways(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Served]]:
    """Two that no test harms."""
    variables = environment(redis_server.url, "nginx")
    with ExitStack() as stack:
        yield [
            stack.enter_context(Served(tmp_path_factory.mktemp(name), environment=variables))
            for name in ("one", "two")
        ]


@pytest.fixture(scope="module")
def front(gateways: list[Served], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("front") / "nginx"
    with Nginx(folder, [g.port for g in gateways], locations=below_a_path()) as nginx:
        yield nginx


@pytest.fixture
def deserted(tmp_path: Path) -> Iterator[Nginx]:
    """An nginx whose workers are all gone."""
    with Nginx(tmp_path / "nginx", [free_port(), free_port()]) as nginx:
        yield nginx
