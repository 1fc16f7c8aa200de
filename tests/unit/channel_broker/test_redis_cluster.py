"""Publications while the slot of their channel goes to another master. Nodes are stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from gateway.channel_broker import detained, redis_cluster
from gateway.channel_broker.base import Publishing, Stored
from gateway.channel_broker.departed import MAX_DEPARTED
from gateway.channel_broker.redis_cluster import ClusterChannelBroker
from gateway.channel_broker.redis_publications import Item, Tell
from gateway.errors import BrokerUnavailable
from gateway.redis_support.url import parse
from tests.support.logs import capture_logs
from tests.support.waiting import eventually


class Node:
    """One master: keeps what it is given, as under way."""

    def __init__(self, run_id: str = "here") -> None:
        self.run_id = run_id
        self.connected = True
        self.trusted: list[str] = []
        self.items: list[Item] = []
        self.publications = self
        self.looks = 0

    def publish(self, publishing: Publishing) -> asyncio.Future[Stored]:
        item = Item(publishing, 1, asyncio.get_running_loop().create_future())
        self.items.append(item)
        return item.answer

    def tell(self, channel: str, message: bytes) -> asyncio.Future[Stored]:
        item = Item(Tell(channel, message), 1, asyncio.get_running_loop().create_future())
        self.items.append(item)
        return item.answer

    async def shared_namespaces(self, *, while_importing: bool) -> str | None:
        assert not while_importing
        if not self.run_id:
            raise BrokerUnavailable("not connected")
        return self.run_id

    def add(self, item: Item) -> None:
        self.items.append(item)

    def trust(self, run_ids: Iterable[str]) -> None:
        self.trusted = [*run_ids]

    def channels(self) -> set[str]:
        self.looks += 1
        return {item.what.channel for item in self.items}


class Nodes:
    """Masters, of which one has all slots. Their endpoints are their numbers."""

    def __init__(self, *nodes: Node) -> None:
        self.everyone = list(nodes)
        self.owner: Node | None = nodes[0]
        self.masters: list[Node] = []

    def __iter__(self) -> Iterator[Node]:
        return iter(self.masters)

    def of_slot(self, _slot: int) -> Node | None:
        return self.owner

    def at(self, master: tuple[str, int]) -> Node:
        return self.everyone[master[1]]

    def of(self, _key: bytes) -> Node | None:
        return self.owner


def a_broker(**options: Any) -> ClusterChannelBroker:
    """One that knows that no master has left."""
    made = ClusterChannelBroker(parse("redis+cluster://nowhere"), prefix="gw", **options)
    made._departed.known = True
    return made


def bodies(node: Node) -> list[bytes]:
    return [item.what.body for item in node.items if isinstance(item.what, Publishing)]


async def test_what_follows_waits_for_what_may_be_refused() -> None:
    """Red when the second goes to the new master while the first is still at the old one."""
    broker = a_broker()
    old, new = Node(), Node()
    nodes = Nodes(old, new)
    broker._nodes = nodes  # type: ignore[assignment]
    broker.publish(Publishing("x", b"1"))
    nodes.owner = new  # as somebody's MOVED has told
    broker._map_changed({0: None})

    broker.publish(Publishing("x", b"2"))
    broker._detained._release()
    assert bodies(new) == []

    refused, old.items = old.items, []
    broker._detained.add(refused)
    broker.publish(Publishing("x", b"3"))
    broker._detained._release()
    assert bodies(new) == [b"1", b"2", b"3"]

    broker.publish(Publishing("x", b"4"))
    assert bodies(new) == [b"1", b"2", b"3", b"4"]


async def test_a_channel_that_nobody_publishes_in_again_is_not_behind_for_ever() -> None:
    """Red when only its next publication finds out: each that was on its way when its slot moved
    was kept, with a master of before, for as long as the worker lives.
    """
    broker = a_broker()
    old, new = Node(), Node()
    nodes = Nodes(old, new)
    broker._nodes = nodes  # type: ignore[assignment]
    for number in range(5):
        broker.publish(Publishing(f"x{number}", b"1"))
    nodes.owner = new
    broker._map_changed({0: None})
    assert len(broker._behind) == 5

    old.items = old.items[:1]
    await eventually(lambda: len(broker._behind) == 1, "what has arrived")
    old.items = []
    await eventually(lambda: not broker._behind, "the rest")
    assert not broker._detained._releasing


async def test_what_is_behind_is_looked_for_once_for_all() -> None:
    """Red when each publication looks through all that is under way at the master of before."""
    broker = a_broker()
    old, new = Node(), Node()
    nodes = Nodes(old, new)
    broker._nodes = nodes  # type: ignore[assignment]
    for number in range(10):
        broker.publish(Publishing(f"x{number}", b"1"))
    nodes.owner = new
    broker._map_changed({0: None})
    before = old.looks

    for number in range(100):
        broker.publish(Publishing(f"x{number % 10}", b"2"))
    broker._detained._release()

    assert old.looks == before + 1
    assert bodies(new) == []


@pytest.mark.parametrize(
    ("connected", "heir", "trusted"),
    [
        (True, "known", ["other", "old"]),
        (False, "known", ["other"]),  # nobody knows what it had
        (True, "", ["other"]),  # a replica of it, that is met now
    ],
)
async def test_a_master_that_leaves_is_told_from_one_that_is_lost(
    connected: bool, heir: str, trusted: list[str]
) -> None:
    broker = a_broker()
    old, new, other = Node("old"), Node(heir), Node("other")
    nodes = Nodes(old, new, other)
    broker._nodes = nodes  # type: ignore[assignment]
    old.connected = connected
    nodes.owner, nodes.masters = new, [new, other]

    broker._map_changed({7: ("", 0), 8: None})

    assert new.trusted == trusted
    assert "old" in other.trusted or trusted == ["other"]


async def test_of_those_that_left_the_last_ones_are_remembered() -> None:
    broker = a_broker()
    known = Node("known")
    for number in range(100):
        nodes = Nodes(Node(str(number)), known)
        nodes.owner, nodes.masters = known, [known]
        broker._nodes = nodes  # type: ignore[assignment]
        broker._map_changed({7: ("", 0)})

    assert known.trusted == [str(number) for number in range(100 - MAX_DEPARTED, 100)]


async def test_what_is_for_a_master_that_was_just_met_waits_for_its_connection() -> None:
    """Red when it is given to a node that has no connection yet: it fails in the moment."""
    broker = a_broker()
    met = Node(run_id="")
    broker._nodes = Nodes(met)  # type: ignore[assignment]

    broker.publish(Publishing("x", b"1"))
    broker.tell("x", b"joined")
    broker.publish(Publishing("x", b"2"))
    asking = asyncio.create_task(broker.shared_namespaces())
    broker._detained._release()
    await asyncio.sleep(0)
    assert not met.items
    assert not asking.done()

    met.run_id = "there"
    broker._detained._release()
    assert bodies(met) == [b"1", b"2"]
    assert isinstance(met.items[1].what, Tell)
    assert await asking == "there"


async def test_channels_wait_until_it_is_known_who_has_left() -> None:
    """Red when they do not: what came from one of those would begin another epoch."""
    broker, node = a_broker(), Node()
    broker._nodes = Nodes(node)  # type: ignore[assignment]
    broker._departed.known = False
    broker.publish(Publishing("x", b"1"))
    broker.tell("x", b"joined")
    reading = asyncio.create_task(broker._at(b"x", lambda _node, _asking: told()))
    broker._detained._release()
    await asyncio.sleep(0)
    assert not node.items
    assert not reading.done()
    assert await broker.shared_namespaces() == "here"

    broker._departed.known = True
    broker._detained._release()
    assert len(node.items) == 2
    assert await reading == "told"


async def told() -> str:
    return "told"


async def test_a_master_that_is_back_may_be_lost_like_any_other() -> None:
    """Red when a run id stays among those that left: what its replica lacks would go on."""
    broker, known, back = a_broker(), Node("known"), Node("back")
    nodes = Nodes(back, known)
    broker._nodes = nodes  # type: ignore[assignment]
    nodes.owner, nodes.masters = known, [known]
    broker._map_changed({7: ("", 0)})
    assert known.trusted == ["back"]

    nodes.masters = [known, back]
    broker._masters_known()
    back.connected, nodes.masters = False, [known]
    broker._map_changed({7: ("", 0)})

    assert known.trusted == []


async def test_what_is_for_a_master_that_cannot_be_connected_to_fails_in_time(
    monkeypatch: Any,
) -> None:
    for module in (redis_cluster, detained):
        monkeypatch.setattr(module, "REDIS_DEADLINE_S", 0.01)
    failed: list[str] = []
    broker = a_broker(failed=failed.append)
    broker._nodes = Nodes(Node(run_id=""))  # type: ignore[assignment]

    with capture_logs() as logged:
        async with asyncio.timeout(5):
            with pytest.raises(BrokerUnavailable, match="no master of the Cluster takes it"):
                await broker.publish(Publishing("x", b"1"))
            with pytest.raises(BrokerUnavailable, match="connected"):
                await broker.shared_namespaces()
    assert failed == ["not_connected"]
    assert [(e["event"], e["command"]) for e in logged] == [
        ("no redis master takes it", "publish x"),
        ("no redis master takes it", "read gw:{workers}:namespaces"),
    ]
