"""The shipped redis.conf and acl.conf, with a gateway on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.protocol.leases import WorkerInfo
from gateway.redis_support.url import parse
from gateway.registry.base import Entry
from gateway.registry.redis import RedisRegistry
from tests.support.crowd import Crowd
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.redis_server import RedisServer
from tests.support.serve import ROOT, Served
from tests.support.waiting import blocking_eventually

CONF = ROOT / "deploy" / "redis" / "redis.conf"
ACL = ROOT / "deploy" / "redis" / "acl.conf"


class GuardedServer(RedisServer):
    """A server with acl.conf, seen as the user that the file gives to the gateway."""

    user = "gateway"
    password = "change-me"

    @property
    def url(self) -> str:
        return f"redis://{self.user}:{self.password}@127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5)


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, "--include", str(CONF)) as server:
        yield server


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedServer]:
    # A user that may do anything, to ask afterwards what was refused.
    watcher = ("--user", "watcher", "on", "nopass", "~*", "&*", "+@all")
    server = GuardedServer(tmp_path, "--include", str(CONF), "--include", str(ACL), *watcher)
    with server:
        yield server


def test_redis_conf_keeps_nothing_on_disk_and_evicts_nothing(configured: RedisServer) -> None:
    with configured.client() as client:
        found = client.config_get("save", "appendonly", "maxmemory-policy")

    assert found == {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}


def test_redis_conf_cuts_a_silent_subscriber_at_64_mb_and_not_before(
    configured: RedisServer,
) -> None:
    with configured.client() as client:
        limits = client.config_get("client-output-buffer-limit")["client-output-buffer-limit"]

    assert f"pubsub {64 << 20} 0 0" in limits


async def test_a_gateway_needs_no_command_that_acl_conf_refuses(
    guarded: GuardedServer, tmp_path: Path
) -> None:
    environment = {"GATEWAY_REDIS_URL": guarded.url, "GATEWAY_TRACE": "on"}
    with Served(tmp_path / "one", "--workers", "2", environment=environment) as served:
        async with Crowd([served.ws_url], 20) as crowd:
            crowd.start_sending()
            await crowd.send_for(0.5)
            ledger = await crowd.stop_sending()
            listed = served.command("connections", "--json")
            assert served.command("workers").returncode == 0
        # A worker that dies is fenced by its supervisor and swept by the other.
        pid = served.worker_pids()[0]
        psutil.Process(pid).kill()
        blocking_eventually(lambda: served.events("worker swept"), "a sweep", 15)
        served.stop()

    assert ledger.answered == ledger.sent > 0
    assert len(listed.stdout.splitlines()) == 20
    assert refused(guarded) == []


async def test_acl_conf_lets_connections_be_found_by_user_and_by_page(
    guarded: GuardedServer,
) -> None:
    worker, entry = new_worker_id(), Entry("ann", "192.0.2.1", "agent", "text", 0)
    async with aclosing(RedisRegistry(parse(guarded.url), prefix="gw")) as registry:
        await registry.renew(worker, WorkerInfo(edge=True, handler=True), 10.0)
        await registry.write(worker, 1, {new_connection_id(worker): entry}, upon=range(1))

        assert len(await registry.of_user("ann")) == 1
        assert len((await registry.page("", limit=10))[0]) == 1


def refused(server: RedisServer) -> list[str]:
    """What the server refused to anybody so far."""
    with redis.Redis(port=server.port, username="watcher", password="-") as client:
        return [f"{entry['username']}: {entry['object']}" for entry in client.acl_log()]


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("CLIENT", "KILL", "TYPE", "pubsub"),
        ("GET", "somebody-else"),
        ("HGET", "somebody-else", "field"),
        ("PUBLISH", "somebody-else", "hello"),
    ],
    ids=" ".join,
)
def test_acl_conf_refuses_what_a_gateway_does_not_need(
    guarded: GuardedServer, command: tuple[str, ...]
) -> None:
    with guarded.client() as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)


def test_acl_conf_lets_nobody_in_without_a_password(guarded: GuardedServer) -> None:
    with (
        redis.Redis(port=guarded.port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()
