"""What Redis' errors are about, who is told, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support.node import (
    AGAIN_S,
    KINDS,
    MOVE_PAUSE_S,
    Node,
    check_server,
    kind_of,
    subject,
)
from tests.support.logs import capture_logs

SAID = {  # by Redis 6.2, 7.0 and 8.2, and by Valkey 9
    "READONLY You can't write against a read only replica.": "moved",
    "READONLY You can't write against a read only replica. script: 8a2, on @u:7.": "moved",
    "ERR Error running script (call to f_8a2): @user_script:7: -READONLY You can't write": "moved",
    "LOADING Redis is loading the dataset in memory": "moved",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "moved",
    "NOREPLICAS Not enough good replicas to write.": "moved",
    "OOM command not allowed when used memory > 'maxmemory'.": "memory",
    "WRONGTYPE Operation against a key holding the wrong kind of value": "wrongtype",
    "NOPERM this user has no permissions to run the 'publish' command": "permission",
    "Transaction discarded because of: NOPERM this user has no permissions": "permission",
    "NOAUTH Authentication required.": "permission",
    "WRONGPASS invalid username-password pair or user is disabled.": "permission",
    "ERR The user executing the script can't run this command or sub": "permission",
    "ERR unknown command 'EVALSHA', with args beginning with: ": "script",
    "ERR Unknown Redis command called from script script: 8a2, on @user_script:3.": "script",
    "BUSY Redis is busy running a script.": "busy",
    "MISCONF Redis is configured to save RDB snapshots, but it's unable to persist": "storage",
    "ERR something new": "other",
}


@pytest.mark.parametrize("words", SAID)
def test_an_error_has_a_kind(words: str) -> None:
    assert kind_of(words) == SAID[words]
    assert SAID[words] in KINDS


@pytest.mark.parametrize("words", ["NOSCRIPT No matching script.", "EXECABORT Transaction"])
def test_what_belongs_to_the_normal_course_is_no_news(words: str) -> None:
    assert kind_of(words) is None


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("PUBLISH", "gw:all", b"secret text"), "PUBLISH gw:all"),
        (("EVALSHA", "8a2", 2, "gw:{workers}", b"gw:x", "secret"), "EVALSHA gw:{workers} gw:x"),
        (("HSET", "gw:{workers}:conns:a", "field", "secret"), "HSET gw:{workers}:conns:a"),
        (("AUTH", "ada", "secret"), "AUTH"),
        (("HELLO", 3, "AUTH", "ada", "secret"), "HELLO"),
        (("SUBSCRIBE", "gw:all", "gw:inbox:a"), "SUBSCRIBE gw:all gw:inbox:a"),
    ],
)
def test_a_command_is_told_without_what_it_carries(command: tuple[Any, ...], told: str) -> None:
    assert subject(command) == told


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_error_is_counted_and_one_a_minute_is_said() -> None:
    clock, counted = Clock(), list[str]()
    node = Node(clock)
    node.count = counted.append
    with capture_logs() as logged:
        for _ in range(3):
            node.refused("OOM command not allowed", "HSET gw:{workers}:conns:a")
        node.refused("NOPERM no", "PUBLISH gw:all")
        clock.now += AGAIN_S
        node.refused("OOM command not allowed", "HSET gw:{workers}:conns:a")

    assert counted == ["memory"] * 3 + ["permission", "memory"]
    assert [(line["kind"], line["unsaid"]) for line in logged] == [
        ("memory", 0), ("permission", 0), ("memory", 2),
    ]  # fmt: skip
    assert logged[0]["error"] == "OOM command not allowed"
    assert logged[0]["command"] == "HSET gw:{workers}:conns:a"


def test_a_node_that_takes_no_writes_is_given_up_but_not_again_at_once() -> None:
    """Where the address still names it, pub/sub between workers must go on meanwhile."""
    clock, dropped = Clock(), list[int]()
    node = Node(clock)
    node.when_moved(lambda: dropped.append(node.epoch))
    node.refused("NOREPLICAS Not enough good replicas to write.", "EVALSHA")
    node.refused("READONLY You can't write", "EVALSHA")
    clock.now += MOVE_PAUSE_S
    node.check([b"role", b"replica"])
    node.check([b"role", b"master"])
    node.refused("OOM command not allowed", "HSET")

    assert dropped == [1, 2]


@pytest.mark.parametrize(
    ("hello", "why"),
    [
        ([b"mode", b"standalone", b"role", b"replica"], "is a replica"),
        ({b"mode": b"standalone", b"role": b"replica"}, "is a replica"),
        ([b"mode", b"sentinel"], "is a Sentinel"),
        ([b"mode", b"cluster", b"role", b"master"], "is a node of a Cluster"),
    ],
)
def test_what_is_no_primary_is_refused(hello: Any, why: str) -> None:
    with pytest.raises(BrokerUnavailable, match=why):
        check_server(hello)


def test_where_a_cluster_is_meant_a_node_of_one_is_right_and_a_single_one_is_not() -> None:
    check_server([b"mode", b"cluster", b"role", b"master"], cluster=True)
    with pytest.raises(BrokerUnavailable, match="is no node of a Cluster"):
        check_server([b"mode", b"standalone", b"role", b"master"], cluster=True)


def test_a_redirection_is_told_to_whom_it_concerns_and_drops_nothing() -> None:
    node, told, dropped = Node(), list[object](), list[bool]()
    node.redirected = lambda *words: told.append(words)
    node.when_moved(lambda: dropped.append(True))

    node.refused("MOVED 5 b:2", "GET", ("a", 1))

    assert told == [("MOVED 5 b:2", ("a", 1))]
    assert not dropped


def test_what_was_redirected_in_vain_is_said_once_a_minute() -> None:
    """Red without: nothing was, however long a slot was served by nobody."""
    clock = Clock()
    node = Node(clock)
    with capture_logs() as logged:
        for _ in range(3):
            node.in_vain("ASK 5 b:2", "publish a")
        clock.now += AGAIN_S
        node.in_vain("CLUSTERDOWN no", "publish b")

    assert [(e["event"], e["error"], e["command"], e["unsaid"]) for e in logged] == [
        ("no redis master takes it", "ASK 5 b:2", "publish a", 0),
        ("no redis master takes it", "CLUSTERDOWN no", "publish b", 2),
    ]


@pytest.mark.parametrize("hello", [[b"role", b"master"], {}, None, b"garbage", [b"role"], 7, [[]]])
def test_what_says_nothing_of_its_role_may_be_a_primary(hello: Any) -> None:
    check_server(hello)
