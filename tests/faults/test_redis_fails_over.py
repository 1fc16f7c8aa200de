"""The address of Redis comes to mean another server: behind a proxy, a virtual address or a name.

Nothing breaks by itself then: connections that stand go on to the node that was demoted, which
carries pub/sub as before and refuses every write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.conftest import PUSHES, Report
from tests.faults.test_redis_fails import all_ready
from tests.support.crowd import Crowd
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.stand import Stand
from tests.support.waiting import eventually

CLIENTS = 200
PROMOTED_S = 5.0


@pytest.fixture
def replica(own_redis: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "replica"
    folder.mkdir()
    follows = ("--replicaof", f"127.0.0.1 {own_redis.port}", "--repl-diskless-sync-delay", "0")
    with RedisServer(folder, *follows) as server:
        yield server


def in_sync(replica: RedisServer) -> bool:
    with replica.client() as admin:
        return bool(admin.info("replication")["master_link_status"] == "up")


def follow(server: RedisServer, primary: RedisServer | None) -> None:
    with server.client() as admin:
        if primary is None:
            admin.execute_command("REPLICAOF", "NO", "ONE")
        else:
            admin.execute_command("REPLICAOF", "127.0.0.1", str(primary.port))


@pytest.mark.parametrize("first", ["address", "demotion"])
async def test_the_address_moves_to_a_promoted_replica(
    first: str, stand: Stand, replica: RedisServer, report: Report
) -> None:
    """Every message is answered within 5 s of the promotion, and no socket closes.

    Red when a connection stays where it is: without ``PublishingConnection._watch_role``, and
    without ``Node.when_moved``.
    """
    primary = stand.redis
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(Proxy(primary.port)) for _ in range(2)]
        await eventually(lambda: in_sync(replica), "replication", 15)
        served = [await stand.serve(redis_url=link.url) for link in links]
        async with Crowd(
            [s.ws_url for s in served], CLIENTS, per_second=5, pushes_per_second=PUSHES
        ) as crowd:
            crowd.start_sending()
            await crowd.send_for(2)
            follow(replica, None)
            if first == "demotion":
                follow(primary, replica)
                await crowd.send_for(1)
            for link in links:
                link.target_port = replica.port
            follow(primary, replica)
            stand.redis = replica
            await crowd.send_for(PROMOTED_S)
            assert all(s.ready() for s in served)
            await crowd.send_for(5)
            ledger = await crowd.stop_sending()
            await stand.registry_true(crowd)
            await all_ready(served)

            report(ledger)
            assert not ledger.broken
            assert ledger.answered == ledger.sent
            assert not ledger.closes
            assert ledger.slowest_s < PROMOTED_S
            assert all(s.events("redis has moved: all connections are made anew") for s in served)
            with primary.client() as admin:
                assert not [c for c in admin.client_list() if c["name"].startswith("gateway.")]
