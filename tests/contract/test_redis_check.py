"""A server that workers could not use is refused at the start, in Redis' own words."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import BrokerUnavailable, ConfigError
from gateway.redis_support.check import check, why_not
from gateway.redis_support.url import parse
from tests.support.children import mortal
from tests.support.ports import free_port
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer, redis_binary
from tests.support.serve import ROOT, Served
from tests.support.waiting import blocking_eventually

USER = "gateway:secret"
ACL = (ROOT / "deploy" / "redis" / "acl.conf").read_text()
[RULES] = re.findall(r"^user gateway on \S+ (.*)$", ACL, re.MULTILINE)
COMMANDS = [rule[1:] for rule in RULES.split() if rule.startswith("+") and "@" not in rule]
SHARDED = ["spublish", "ssubscribe", "sunsubscribe", "cluster|info", "cluster|slots"]


def complaint(url: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check(parse(url), "gw")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("guarded")) as server:
        yield server


def as_user(server: RedisServer, *rules: str) -> str:
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "gateway", "reset", "on", ">secret", *rules)
    return f"redis://{USER}@127.0.0.1:{server.port}/0"


def test_what_acl_conf_gives_is_enough_and_nothing_is_left_behind(guarded: RedisServer) -> None:
    check(parse(as_user(guarded, *RULES.split())), "gw")

    with guarded.client() as admin:
        assert admin.keys() == []


@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in SHARDED])
def test_each_command_that_is_missing_is_named(guarded: RedisServer, command: str) -> None:
    """Every command that acl.conf has is tried: whoever adds one there is reminded here."""
    words = complaint(as_user(guarded, *RULES.split(), f"-{command}"))

    assert command.partition("|")[0].upper() in words
    assert "NOPERM" in words


@pytest.fixture
def guarded_cluster(redis_cluster: RedisCluster) -> Iterator[RedisCluster]:
    yield redis_cluster
    for node in redis_cluster.nodes:
        node.ask("ACL", "DELUSER", "gateway")


def cluster_as_user(cluster: RedisCluster, *rules: str) -> str:
    for node in cluster.nodes:
        node.ask("ACL", "SETUSER", "gateway", "reset", "on", ">secret", *rules)
    return cluster.url.replace("://", f"://{USER}@")


def test_what_acl_conf_gives_is_enough_at_a_cluster(guarded_cluster: RedisCluster) -> None:
    check(parse(cluster_as_user(guarded_cluster, *RULES.split())), "gw")


@pytest.mark.parametrize("command", [*SHARDED, "xadd", "zadd"])
def test_each_command_that_is_missing_at_a_cluster_is_named(
    guarded_cluster: RedisCluster, command: str
) -> None:
    words = complaint(cluster_as_user(guarded_cluster, *RULES.split(), f"-{command}"))

    assert command.partition("|")[0] in words.lower()
    assert "NOPERM" in words or "no permissions" in words


def test_a_node_of_a_cluster_is_refused(redis_cluster: RedisCluster) -> None:
    assert "write redis+cluster://" in complaint(redis_cluster.nodes[0].url)


def test_one_node_is_no_cluster(guarded: RedisServer) -> None:
    assert "is no Cluster" in complaint(guarded.url.replace("redis://", "redis+cluster://"))


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ("~gw:* &gw:inbox:* +@all", "PUBLISH gw:all"),
        ("~gw:* &gw:all +@all", "PUBLISH gw:inbox:"),
        ("~gw:{workers}* &* +@all", "EXISTS gw:{chan:}:presence"),
        ("~gw:{chan:* &* +@all", "EVALSHA gw:{workers}"),
    ],
)
def test_a_channel_or_key_that_is_missing_is_named(
    guarded: RedisServer, rules: str, named: str
) -> None:
    assert named in complaint(as_user(guarded, *rules.split()))


def test_where_a_password_is_wanted_that_is_said(guarded: RedisServer) -> None:
    """Redis has other words for it, which are about HELLO."""
    with guarded.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">secret")
        try:
            assert "asks for a password, and none is given" in complaint(guarded.url)
        finally:
            admin.execute_command("ACL", "SETUSER", "default", "nopass")


def test_a_database_that_is_not_there_is_said(guarded: RedisServer) -> None:
    assert "/999 has no such database" in complaint(f"redis://127.0.0.1:{guarded.port}/999")


def test_a_database_of_a_cluster_is_said(redis_cluster: RedisCluster) -> None:
    _, _, node = redis_cluster.url.rpartition("//")
    words = complaint(f"redis://{node.partition(',')[0]}/1")

    assert "is a node of a Cluster" in words
    assert "redis+cluster://" in words


def test_who_speaks_no_tls_is_asked_whether_it_does(guarded: RedisServer) -> None:
    for scheme, path in (("rediss", ""), ("rediss+cluster", ""), ("rediss+sentinel", "/main")):
        url = f"{scheme}://127.0.0.1:{guarded.port}{path}"
        with pytest.raises(BrokerUnavailable, match=r"rediss:// is TLS"):
            check(parse(url), "gw", deadline_s=0.3)


def test_a_scheme_in_capitals_is_the_same(guarded: RedisServer) -> None:
    check(parse(guarded.url.replace("redis://", "REDIS://")), "gw")


def test_why_a_client_is_not_connected_is_asked_as_at_a_start(
    guarded: RedisServer, redis_cluster: RedisCluster
) -> None:
    def why(url: str) -> str | None:
        return why_not(parse(url), "gw", deadline_s=3.0)

    allowed = ("on", ">secret", "resetchannels", "+@all", "-publish", "~*")
    _, _, node = redis_cluster.url.rpartition("//")

    assert why(guarded.url) is None
    assert why(redis_cluster.url) is None
    assert "refuses PUBLISH gw:inbox:" in str(why(as_user(guarded, *allowed)))
    assert "is a node of a Cluster" in str(why(f"redis://{node.partition(',')[0]}"))
    assert "lets nobody in" in str(why(f"redis://nobody:guess@127.0.0.1:{guarded.port}"))


def test_a_wrong_password_is_said_and_not_shown(guarded: RedisServer) -> None:
    url = as_user(guarded, "~*", "&*", "+@all").replace("secret", "guess")

    assert "lets nobody in like this" in complaint(url)
    assert "guess" not in complaint(url)


@pytest.mark.parametrize("command", ["EVALSHA", "EVAL", "SCRIPT"])
def test_a_server_without_scripts_is_refused(tmp_path: Path, command: str) -> None:
    with RedisServer(tmp_path, "--rename-command", command, "") as server:
        assert re.search(f"refuses {command} .*unknown command", complaint(server.url))


def test_a_sentinel_is_refused(tmp_path: Path) -> None:
    port, conf = free_port(), tmp_path / "sentinel.conf"
    conf.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    command = mortal([redis_binary(), str(conf), "--sentinel"])
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sentinel:
        try:
            blocking_eventually(lambda: answers(port), "the Sentinel", 10)
            assert "is a Sentinel" in complaint(f"redis://127.0.0.1:{port}/0")
        finally:
            sentinel.kill()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_what_passes_by_is_no_reason_to_refuse_a_start(guarded: RedisServer) -> None:
    """A restart in a bad hour must not make it worse: workers wait, and say why."""
    with guarded.client() as admin:
        admin.set("gw:{workers}", "garbage")
        admin.config_set("maxmemory", "100kb")
        try:
            check(parse(guarded.url), "gw")
        finally:
            admin.config_set("maxmemory", "0")
            admin.delete("gw:{workers}")


def test_a_start_on_a_replica_is_refused_with_one_line(tmp_path: Path) -> None:
    """Red before: it started, and was never ready."""
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis", "--replicaof", f"127.0.0.1 {free_port()}") as replica:
        ended = subprocess.run(
            [sys.executable, "-m", "gateway", "serve", "--port", "0"],
            env={**Served(tmp_path).environment, "GATEWAY_REDIS_URL": replica.url},
            capture_output=True, text=True, timeout=30, check=False, cwd=ROOT,
        )  # fmt: skip

    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert "is a replica, which takes no writes: give its primary" in line
