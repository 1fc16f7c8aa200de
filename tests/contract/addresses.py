"""Where the suites are run: what their parameters mean."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

import pytest

from tests.support.proxy import Proxy
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer

EVERYWHERE: Final = ["memory", "redis", "redis over 5 ms", "redis cluster"]


async def redis_url(param: str, request: pytest.FixtureRequest, stack: AsyncExitStack) -> str:
    """The address that a parameter of a suite names: one node, also over a slow link; a Cluster."""
    if param == "redis cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        return cluster.url
    server: RedisServer = request.getfixturevalue("redis_server")
    if param == "redis over 5 ms":
        link = await stack.enter_async_context(Proxy(server.port, delay_s=0.005))
        return f"redis://127.0.0.1:{link.port}/0"
    return server.url
