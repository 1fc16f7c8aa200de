"""Text sockets as members of rooms, beside clients of the Centrifuge protocol, on two workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from gateway import Admit, Connection, Gateway, Receipt
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import CentrifugeClient, centrifuge_socket
from tests.support.inprocess import InProcess, cluster
from tests.support.rawclient import RawClient, raw_websocket
from tests.support.waiting import eventually

ROOM = ChannelOptions(
    allow_subscribe_for_client=True,
    allow_presence_for_subscriber=True,
    presence=True,
    join_leave=True,
    force_push_join_leave=True,
)
CHANNELS = Namespaces(named={"room": ROOM})


def named_by_query() -> Gateway:
    gateway = Gateway()

    @gateway.on_connect
    async def admit(connection: Connection) -> Admit:
        return Admit(connection.query)

    @gateway.on_message
    async def ignore(message: Any) -> None: ...

    return gateway


def connections(served: InProcess) -> set[str]:
    return {local.id for local in served.worker.parts.hub}


@asynccontextmanager
async def by_sdk(served: InProcess, user: str) -> AsyncIterator[CentrifugeClient]:
    """A client of the Centrifuge protocol in the room."""
    async with centrifuge_socket(served.port, f"/connection/websocket?{user}") as client:
        await client.connect()
        await client.subscribe("room:1")
        yield client


@asynccontextmanager
async def by_text(served: InProcess, user: str) -> AsyncIterator[tuple[RawClient, str]]:
    """A text socket, and its connection. It is in no room."""
    before = connections(served)
    async with raw_websocket(served.port, f"/communicate?{user}") as client:
        [name] = connections(served) - before
        yield client, name


async def seen_by(client: CentrifugeClient) -> dict[str, str]:
    reply = await client.ask(presence={"channel": "room:1"})
    return {key: info["user"] for key, info in reply["presence"]["presence"].items()}


async def told(client: CentrifugeClient, kind: str, name: str) -> dict[str, str]:
    """Wait until it is told that ``name`` has joined or left."""
    while True:
        info = dict((await client.push(kind))[kind]["info"])
        if info["client"] == name:
            return info


@asynccontextmanager
async def two_workers(settings: MakeSettings) -> AsyncIterator[list[InProcess]]:
    gateways = [named_by_query() for _ in range(2)]
    async with cluster(settings(channel=CHANNELS), 2, gateways) as made:
        yield made
        for served in made:
            await eventually(partial(nobody, served), "the end of members", 5)


def nobody(served: InProcess) -> bool:
    parts = served.worker.parts
    return not (len(parts.presence) or parts.stored_presence.behind)


async def test_everybody_in_a_room_sees_one_list_of_members(settings: MakeSettings) -> None:
    async with (
        two_workers(settings) as (one, two),
        by_sdk(one, "ann") as ann,
        by_sdk(two, "bob") as bob,
        by_text(two, "cid") as (_, cid),
        by_text(one, "dan") as (_, dan),
    ):
        for name in (cid, dan):
            assert await one.gateway.subscribe(name, "room:1") is Receipt.WRITTEN
            everybody = {ann.id: "ann", bob.id: "bob", cid: "cid"} | (
                {dan: "dan"} if name == dan else {}
            )
            for client in (ann, bob):
                assert await seen_by(client) == everybody
            for served in (one, two):
                members = await served.gateway.presence("room:1")
                assert {each.client: each.user for each in members.values()} == everybody


async def test_the_others_are_told_when_a_text_socket_joins_and_leaves(
    settings: MakeSettings,
) -> None:
    async with two_workers(settings) as (one, two), by_sdk(one, "ann") as ann:
        async with by_text(two, "cid") as (_, cid):
            for _ in range(2):
                await one.gateway.subscribe(cid, "room:1")
                assert await told(ann, "join", cid) == {"client": cid, "user": "cid"}
                assert await one.gateway.unsubscribe(cid, "room:1") is Receipt.WRITTEN
                assert await told(ann, "leave", cid) == {"client": cid, "user": "cid"}
                assert await seen_by(ann) == {ann.id: "ann"}
            await one.gateway.subscribe(cid, "room:1")
            await told(ann, "join", cid)
        await told(ann, "leave", cid)

        assert await seen_by(ann) == {ann.id: "ann"}


async def test_a_text_socket_is_sent_what_is_published_and_nobodys_join_or_leave(
    settings: MakeSettings,
) -> None:
    async with two_workers(settings) as (one, two), by_text(two, "cid") as (client, cid):
        await one.gateway.subscribe(cid, "room:1")
        async with by_sdk(one, "ann") as ann:
            await told(ann, "join", ann.id)
        await one.gateway.publish("room:1", "only this")

        assert await client.texts(1) == ["only this"]
