"""Where Redis is: what people see of it, and which part of a Cluster has a key."""

from __future__ import annotations

from functools import partial

import pytest

from gateway.redis_support.slots import SLOTS, Sight, slot_of
from gateway.redis_support.url import parse
from tests.support.logs import capture_logs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://ada:hidden@cache/2", "redis://cache:6379/2"),
        ("rediss://:hidden@cache:1", "rediss://cache:1/0"),
        ("redis://[::1]:1", "redis://[::1]:1/0"),
        ("unix:///run/redis.sock?password=hidden", "unix:///run/redis.sock/0"),
    ],
)
def test_people_see_the_address_without_its_password(url: str, shown: str) -> None:
    address = parse(url)

    assert address.display == shown
    assert repr(address) == str(address) == f"RedisAddress({shown})"


async def test_what_has_one_slot_has_one_node_and_another_one_another() -> None:
    address = parse("redis+cluster://one")
    counted: list[str] = []
    address.node.count = counted.append
    leases, inbox = address.of("gw:{workers}"), address.of("gw:inbox:a")

    assert address.of("gw:{workers}:dead").node is leases.node
    assert inbox.node is not leases.node
    leases.node.refused("OOM no", "SET")
    assert counted == ["memory"]


async def test_a_switch_drops_what_is_of_its_slot_alone() -> None:
    address = parse("redis+cluster://one")
    assert address.cluster is not None
    dropped: list[str] = []
    for name in ("{workers}", "inbox:a"):
        address.of(f"gw:{name}").node.when_moved(partial(dropped.append, name))
    slot = slot_of("{workers}")
    for owner in (("a", 1), ("b", 2)):
        owners = [("a", 1)] * SLOTS
        owners[slot] = owner
        address.cluster._believe(Sight(tuple(owners), frozenset({("a", 1)}), 1, well=True))

    assert dropped == ["{workers}"]
    assert address.of("gw:{workers}").is_at(("b", 2))
    assert not address.of("gw:inbox:a").is_at(("b", 2))


def test_one_node_has_all_keys() -> None:
    address = parse("redis://one")

    assert address.of("anything") is address


def test_a_master_of_a_cluster_says_which_one_refuses() -> None:
    """Red when it says what Redis said, and not who: there are three to be looked at."""
    with capture_logs() as logs:
        parse("redis+cluster://one:1,two:2").at(("two", 2)).node.refused("OOM no", "SET gw:a")
        parse("redis://one").node.refused("OOM no", "SET gw:a")

    assert [line.get("where") for line in logs] == ["two:2 of the Cluster", None]
