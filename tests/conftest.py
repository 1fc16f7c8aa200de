"""Fixtures that every tier may use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that do not harm it. Keys are kept apart by prefixes."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """One Cluster for all tests that do not harm it. Keys are kept apart by prefixes.

    No node is taken for dead because a busy machine is late to run it.
    """
    with RedisCluster(tmp_path_factory.mktemp("cluster"), node_timeout_ms=60_000) as cluster:
        yield cluster


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that this test alone may kill, freeze and flush."""
    with RedisServer(tmp_path) as server:
        yield server


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that workers run on."""
    return {"uvloop": uvloop.new_event_loop}
