"""The shipped acl-replicas.conf: who follows a primary with acl.conf, and who watches over it."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import redis

from gateway.redis_support.check import check
from gateway.redis_support.url import parse
from tests.support.redis_server import RedisServer
from tests.support.sentinels import FOLLOWS_AT_ONCE, NAME, Sentinel
from tests.support.serve import ROOT
from tests.support.waiting import blocking_eventually

SHIPPED = ROOT / "deploy" / "redis"
REPLICAS = SHIPPED / "acl-replicas.conf"
INCLUDED = [w for name in ("redis.conf", "acl.conf", REPLICAS.name)
            for w in ("--include", str(SHIPPED / name))]  # fmt: skip
# A user that may do anything, to see how things are.
WATCHER = ("--user", "watcher", "on", "nopass", "~*", "&*", "+@all")


class Node(RedisServer):
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, username="watcher", password="-", socket_timeout=5)


def sentinel_lines() -> str:
    """What the file says that a Sentinel has to say."""
    return "".join(
        f"{line}\n" for line in re.findall(r"sentinel auth-\w+ main \S+", REPLICAS.read_text())
    )


def role(node: RedisServer) -> str:
    with node.client() as client:
        return str(client.info("replication")["role"])


def refused(node: RedisServer) -> list[str]:
    with node.client() as client:
        return [f"{e['username']} {e['object']}" for e in client.acl_log()]


def test_a_replica_follows_and_a_sentinel_makes_it_the_primary(tmp_path: Path) -> None:
    """Neither of them is refused anything.

    Red with acl.conf alone: no replica follows, and nobody takes over.
    """
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        old = stack.enter_context(Node(tmp_path / "a", *FOLLOWS_AT_ONCE, *INCLUDED, *WATCHER))
        of = ("--replicaof", "127.0.0.1", str(old.port))
        new = stack.enter_context(Node(tmp_path / "b", *FOLLOWS_AT_ONCE, *INCLUDED, *WATCHER, *of))

        def follows() -> bool:
            with new.client() as client:
                return bool(client.info("replication").get("master_link_status") == "up")

        blocking_eventually(follows, "a replica that follows", 10)
        sentinel = Sentinel(tmp_path / "s", old.port, config=sentinel_lines())
        stack.callback(sentinel.kill)
        sentinel.start()

        def knows_the_replica() -> bool:
            with sentinel.client() as client:
                told = client.sentinel_master(NAME)
                slaves = client.sentinel_slaves(NAME)
            well = not told["is_sdown"] and [s["port"] for s in slaves] == [new.port]
            return bool(well and slaves[0]["slave-repl-offset"])

        blocking_eventually(knows_the_replica, "a Sentinel that knows both", 20)
        with sentinel.client() as client:
            client.execute_command("SENTINEL", "FAILOVER", NAME)
        blocking_eventually(lambda: role(new) == "master", "a promotion", 20)
        check(parse(f"redis://gateway:change-me@127.0.0.1:{new.port}/0"), "gw")

        assert refused(old) == refused(new) == []
