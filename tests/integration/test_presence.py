"""Members of channels belong to their worker: told, swept, taken along and written anew."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, closing, suppress

import pytest
import redis

from gateway.application.presence_verbs import Member
from gateway.channel_broker.redis_cluster import channel_broker_at
from gateway.errors import BrokerUnavailable, NotAvailable
from gateway.presence.base import PresenceChange, PresenceStats
from gateway.presence.redis import RedisPresenceStore
from gateway.protocol import channel_messages
from gateway.protocol.channel_messages import ClientInfo, MessageKind
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support import keys
from gateway.redis_support.url import parse
from gateway.registry.redis import RedisRegistry
from gateway.settings.config import Settings
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.integration.conftest import MakeSettings
from tests.integration.listing import all_keys
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.inprocess import InProcess, cluster
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, eventually_async

MEMBERS = Namespaces(ChannelOptions(presence=True, join_leave=True))
Told = Counter[tuple[str, MessageKind, str]]


class Listener:
    """A survivor's subscriptions: who has joined and left."""

    def __init__(self) -> None:
        self.told: Told = Counter()

    def on_messages(self, messages: Sequence[tuple[str, bytes]]) -> None:
        for channel, payload in messages:
            read = channel_messages.read(payload)
            assert read is not None
            client = channel_messages.read_client_info(read.body).client
            self.told[channel, read.kind, client] += 1

    def on_resync(self, channels: Collection[str]) -> None:
        pass


@asynccontextmanager
async def listening(settings: Settings, *channels: str) -> AsyncIterator[Told]:
    address = parse(settings.redis_url.reveal())
    broker = channel_broker_at(address, prefix=settings.redis_prefix, name="listener")
    listener = Listener()
    running = asyncio.create_task(broker.run(listener))
    try:
        await eventually(lambda: broker.connected, "the listener's connection")
        for channel in channels:
            await broker.subscribe(channel)
        yield listener.told
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def die(settings: Settings, channels: Sequence[str], members: int) -> WorkerId:
    """A worker that died and left members, each in one of these channels."""
    dead, address = new_worker_id(), parse(settings.redis_url.reveal())
    store = RedisPresenceStore(address, prefix=settings.redis_prefix)
    clients = [new_connection_id(dead) for _ in range(members)]
    changes = [
        PresenceChange(channels[n % len(channels)], client, ClientInfo(f"user{n % 10}", client))
        for n, client in enumerate(clients)
    ]
    await store.write(dead, 1, changes, upon=range(1))
    await store.aclose()
    registry = RedisRegistry(address, prefix=settings.redis_prefix)
    await registry.renew(dead, WorkerInfo(edge=True, handler=False), 0.05)
    await registry.aclose()
    return dead


async def enter(server: InProcess, channel: str, user: str) -> str:
    presence = server.worker.parts.presence
    client = new_connection_id(server.worker.me)
    await presence.enter(channel, ClientInfo(user, client))
    presence.joined(channel, client)
    return client


async def is_empty(server: InProcess, channel: str, *, but: int = 0) -> None:
    async def empty() -> bool:
        return (await server.worker.parts.presence_store.stats(channel)).clients == but

    await eventually_async(empty, f"the end of the members of {channel}", 15)


async def test_the_members_of_a_dead_worker_leave_and_no_others(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings(lease_seconds=1, channel=MEMBERS)
    channels = [f"room{n}" for n in range(5)]
    async with cluster(own, 2) as workers, listening(own, *channels) as told:
        stays = [await enter(server, "room0", "ann") for server in workers]
        dead = await die(own, channels, 1000)
        for channel in channels:
            await is_empty(workers[0], channel, but=2 if channel == "room0" else 0)
        assert set(await workers[1].worker.parts.presence_store.members("room0")) == set(stays)
        assert await workers[1].worker.parts.presence_store.stats("room0") == PresenceStats(2, 1)
        await eventually(lambda: len(told) == 1000 + len(stays), "a leave of each")
        await eventually(
            lambda: not [key for key in all_keys(redis_server, own) if dead in key], "the sweep"
        )

    leaves = {client for _, kind, client in told if kind is MessageKind.LEAVE}
    assert len(leaves) == 1000
    assert not leaves & set(stays)


async def test_join_and_leave_are_told_in_order(settings: MakeSettings) -> None:
    own = settings(channel=MEMBERS)
    async with cluster(own, 2) as (one, other), listening(own, "room") as told:
        client = await enter(one, "room", "ann")
        assert set(await other.worker.parts.presence_store.members("room")) == {client}
        await one.worker.parts.presence.leave("room", client)
        assert await other.worker.parts.presence_store.members("room") == {}
        await eventually(lambda: len(told) == 2, "join and leave")

    kinds = [kind for _, kind, _ in told]
    assert kinds == [MessageKind.JOIN, MessageKind.LEAVE]


async def test_a_worker_that_others_have_swept_brings_no_member_back(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a freeze: it is fenced and swept before it knows."""
    own = settings(lease_seconds=3, channel=MEMBERS)
    async with cluster(own, 2) as (one, other):
        monkeypatch.setattr(one.worker, "on_exit", lambda: None)
        me = one.worker.me
        await enter(one, "room", "ann")
        stays = await enter(other, "room", "bob")
        monkeypatch.setattr(one.worker.parts.stored_presence, "seal", lambda: None)
        registry = other.worker.parts.registry
        await registry.fence(me)
        await is_empty(other, "room", but=1)

        late = ClientInfo("ann", new_connection_id(me))
        for channel in ("room", "hall"):
            with pytest.raises(BrokerUnavailable):
                await one.worker.parts.presence.enter(channel, late)

        assert set(await other.worker.parts.presence_store.members("room")) == {stays}
        assert await other.worker.parts.presence_store.members("hall") == {}
        with closing(redis.Redis.from_url(redis_server.url)) as admin:
            assert not admin.exists(keys.subscribed(own.redis_prefix, me))


async def test_what_redis_has_forgotten_is_written_anew(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings(lease_seconds=1, channel=MEMBERS)
    async with cluster(own, 2) as (one, other):
        clients = {await enter(server, "room", "ann") for server in (one, one, other)}
        with closing(redis.Redis.from_url(redis_server.url)) as admin:
            for key in admin.scan_iter(f"{own.redis_prefix}:*"):
                admin.delete(key)

        await is_empty(one, "room", but=3)
        assert set(await other.worker.parts.presence_store.members("room")) == clients
        assert await other.worker.parts.presence_store.stats("room") == PresenceStats(3, 1)


async def test_a_worker_that_leaves_on_purpose_takes_its_members_along(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings(channel=MEMBERS)
    async with cluster(own, 2) as (one, other):
        me = one.worker.me
        client = await enter(one, "room", "ann")
        stays = await enter(other, "room", "bob")
        one.worker.parts.presence.leave("room", client)
        await one.worker.drain()

        assert not [key for key in all_keys(redis_server, own) if me in key]
        assert set(await other.worker.parts.presence_store.members("room")) == {stays}


async def test_members_that_a_drain_leaves_behind_are_swept(settings: MakeSettings) -> None:
    own = settings(lease_seconds=1, channel=MEMBERS)
    async with cluster(own, 2) as (one, other), listening(own, "room") as told:
        client = await enter(one, "room", "ann")

        await one.worker.drain()

        await is_empty(other, "room")
        left = ("room", MessageKind.LEAVE, client)
        await eventually(lambda: told[left] == 1, "its leave")


async def test_an_application_asks_who_is_there(settings: MakeSettings) -> None:
    named = Namespaces(ChannelOptions(presence=True), {"quiet": ChannelOptions()})
    async with cluster(settings(channel=named), 2) as (one, other):
        client = new_connection_id(one.worker.me)
        info = ClientInfo("ann", client, b'{"name":"Ann"}', b"[1e400]")
        await one.worker.parts.presence.enter("room", info)

        assert await other.gateway.presence("room") == {
            client: Member("ann", client, {"name": "Ann"}, [sys.float_info.max])
        }
        assert await other.gateway.presence_stats("room") == PresenceStats(1, 1)
        with pytest.raises(NotAvailable):
            await other.gateway.presence("quiet:room")
