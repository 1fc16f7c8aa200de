"""Publications while the slot of their channel goes to another master. Nodes are stand-ins."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.channel_broker import redis_cluster
from gateway.channel_broker.base import Publishing, Stored
from gateway.channel_broker.redis_cluster import ClusterChannelBroker
from gateway.channel_broker.redis_publications import Item
from gateway.channel_broker.redis_scripts import publishing_size
from gateway.redis_support.address import parse


class Node:
    """One master: keeps what it is given, as under way."""

    run_id = ""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.publications = self

    def publish(self, publishing: Publishing) -> asyncio.Future[Stored]:
        item = Item(publishing, 1, asyncio.get_running_loop().create_future())
        self.items.append(item)
        return item.answer

    def add(self, item: Item) -> None:
        self.items.append(item)

    def channels(self) -> set[str]:
        return {item.what.channel for item in self.items}


class Nodes:
    def __init__(self, *nodes: Node) -> None:
        self.everyone = list(nodes)
        self.owner: Node | None = nodes[0]

    def __iter__(self) -> Any:
        return iter(())

    def of(self, _key: bytes) -> Node | None:
        return self.owner


def bodies(node: Node) -> list[bytes]:
    return [item.what.body for item in node.items if isinstance(item.what, Publishing)]


async def test_what_follows_waits_for_what_may_be_refused() -> None:
    """Red when the second goes to the new master while the first is still at the old one."""
    broker = ClusterChannelBroker(parse("redis+cluster://nowhere"), prefix="gw")
    old, new = Node(), Node()
    nodes = Nodes(old, new)
    broker._nodes = nodes  # type: ignore[assignment]
    broker.publish(Publishing("x", b"1"))
    nodes.owner = new  # as somebody's MOVED has told
    broker._map_changed({0: None})

    broker.publish(Publishing("x", b"2"))
    broker._release()
    assert bodies(new) == []

    refused, old.items = old.items, []
    broker._detain(refused)
    broker.publish(Publishing("x", b"3"))
    broker._release()
    assert bodies(new) == [b"1", b"2", b"3"]

    broker.publish(Publishing("x", b"4"))
    assert bodies(new) == [b"1", b"2", b"3", b"4"]


async def test_what_waits_is_bounded_by_its_bytes(monkeypatch: Any) -> None:
    one = Publishing("x", bytes(300))
    monkeypatch.setattr(redis_cluster, "MAX_WAITING_BYTES", 3 * publishing_size(one))
    broker = ClusterChannelBroker(parse("redis+cluster://nowhere"), prefix="gw")
    nodes = Nodes(Node())
    nodes.owner = None
    broker._nodes = nodes  # type: ignore[assignment]

    answers = [broker.publish(one) for _ in range(4)]

    assert [answer.done() for answer in answers] == [False, False, False, True]
    assert "not published" in str(answers[3].exception())
