"""Where Redis is, asked by a supervisor: once, and within a time for all who could say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.redis_support.cluster_nodes import ClusterNodes
from gateway.redis_support.sentinels import Sentinels
from tests.support.stub_redis import StubRedis, bulk, cluster_answers

PRIMARY = ("127.0.0.1", 6379)
DEADLINE_S = 1.0


@pytest.fixture
def two_silent() -> Iterator[list[StubRedis]]:
    with ExitStack() as stack:
        yield [stack.enter_context(StubRedis(lambda _: b"", after_s=None)) for _ in range(2)]


def test_nodes_that_are_frozen_leave_the_others_time(two_silent: list[StubRedis]) -> None:
    """Red when the first may take all of it: a dead worker was not fenced at once."""
    with StubRedis(cluster_answers(lambda: [PRIMARY])) as node:
        seeds = [*(one.at for one in two_silent), node.at]

        assert ClusterNodes(seeds).look_blocking(deadline_s=DEADLINE_S).owners[0] == PRIMARY


def test_sentinels_that_are_frozen_leave_the_others_time(two_silent: list[StubRedis]) -> None:
    told = ["name", "one", "ip", PRIMARY[0], "port", str(PRIMARY[1]), "config-epoch", "1"]
    told += ["flags", "master"]
    reply = b"*%d\r\n" % len(told) + b"".join(map(bulk, told))
    with StubRedis(lambda _command: reply) as sentinel:
        hosts = [("a..b", 1), *(one.at for one in two_silent), sentinel.at]

        assert Sentinels(hosts, "one").locate_blocking(deadline_s=DEADLINE_S) == PRIMARY
