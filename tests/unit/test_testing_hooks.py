"""What applications test their hooks with: it does what a worker would do."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import (
    Call,
    Connection,
    Denied,
    Gateway,
    Grant,
    Publishing,
    Subscription,
    Unsubscription,
)
from gateway.testing import Client, NoHandler, NotConnected


def hooked() -> tuple[Gateway, list[Any]]:
    """A gateway with hooks that keep what they are given."""
    gateway, kept = Gateway(), list[Any]()

    @gateway.on_connect
    async def admit(connection: Connection) -> str:
        return "ann"

    @gateway.on_subscribe("room:*")
    async def may_join(subscription: Subscription) -> Grant | None:
        kept.append(subscription)
        if subscription.channel == "room:secret":
            raise Denied
        return Grant({"name": "Ann"}, (1, 2), 2e9) if subscription.data else None

    @gateway.on_publish("room:*")
    async def said(publishing: Publishing) -> Any:
        kept.append(publishing)
        return {"text": "***"} if publishing.data == {"text": "damn"} else None

    @gateway.on_unsubscribe("room:*")
    async def left(unsubscription: Unsubscription) -> None:
        kept.append(unsubscription)

    @gateway.on_rpc("add")
    async def add(call: Call) -> Any:
        kept.append(call)
        return object() if call.data is None else {"sum": sum(call.data)}

    return gateway, kept


async def test_hooks_are_called_as_by_a_worker() -> None:
    gateway, kept = hooked()
    client = Client(gateway)
    await client.connect()

    assert await client.subscribe("room:1") == Grant()
    assert await client.subscribe("room:1", "x", token_claims={"sub": "ann"}) == Grant(
        {"name": "Ann"}, [1, 2], 2e9
    )
    assert await client.publish("room:1", {"text": "hi"}) == {"text": "hi"}
    assert await client.publish("room:1", {"text": "damn"}, info=1) == {"text": "***"}
    assert await client.call("add", (1, 2)) == {"sum": 3}
    await client.unsubscribe("room:1", 2000, "go")

    assert [each.id.rpartition(":")[2] for each in kept] == list("123456")
    assert {each.connection.user for each in kept} == {"ann"}
    assert kept[1].token_claims == {"sub": "ann"}
    assert (kept[2].info, kept[3].info) == (None, 1)
    assert kept[4].data == [1, 2]
    assert (kept[5].code, kept[5].reason) == (2000, "go")


async def test_what_hooks_raise_and_cannot_send_is_raised_in_the_test() -> None:
    client = Client(hooked()[0])
    await client.connect()

    with pytest.raises(Denied):
        await client.subscribe("room:secret")
    with pytest.raises(TypeError, match=r"on_rpc handler .* returned object that cannot be sent"):
        await client.call("add")


async def test_a_hook_once_more_has_the_same_id() -> None:
    gateway, kept = hooked()
    client = Client(gateway)
    await client.connect()
    await client.call("add", [1])
    await client.call("add", [1], attempt=2)

    assert [(each.id, each.attempt) for each in kept] == [(kept[0].id, 1), (kept[0].id, 2)]


async def test_where_no_hook_is_that_is_said() -> None:
    client = Client(hooked()[0])
    await client.connect()

    for calling in (
        client.subscribe("lobby"),
        client.publish("lobby", 1),
        client.unsubscribe("lobby"),
        client.call("subtract"),
    ):
        with pytest.raises(NoHandler, match=r"no on_\w+ handler for '(lobby|subtract)'"):
            await calling


async def test_a_client_that_is_not_connected_asks_no_hook() -> None:
    with pytest.raises(NotConnected):
        await Client(hooked()[0]).call("add", [1])
