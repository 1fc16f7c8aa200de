"""The guarantees of ``gateway.presence.base``, on every implementation."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack

import pytest

from gateway.presence.base import PresenceChange, PresenceStats, PresenceStore
from gateway.presence.memory import MemoryPresenceStore
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.ids import WorkerId
from tests.support.ids import new_worker_id

ANY = range(1 << 32)
_revisions = itertools.count(1)


@pytest.fixture(params=["memory"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[PresenceStore]:
    async with AsyncExitStack() as stack:
        made = MemoryPresenceStore()
        stack.push_async_callback(made.aclose)
        yield made


def info(user: str, client: str, conn: bytes = b"") -> ClientInfo:
    return ClientInfo(user, client, conn, b'{"here":true}')


async def put(store: PresenceStore, worker: WorkerId, channel: str, *infos: ClientInfo) -> None:
    changes = [PresenceChange(channel, one.client, one) for one in infos]
    assert await store.write(worker, next(_revisions), changes, upon=ANY)


async def drop(store: PresenceStore, worker: WorkerId, channel: str, *clients: str) -> None:
    changes = [PresenceChange(channel, client, None) for client in clients]
    assert await store.write(worker, next(_revisions), changes, upon=ANY)


async def everybody_of(store: PresenceStore, worker: WorkerId) -> set[tuple[str, str]]:
    return {
        (channel, one.client)
        async for page in store.pages_of(worker)
        for channel, one in page.members
    }


async def sweep(store: PresenceStore, worker: WorkerId) -> None:
    async for page in store.pages_of(worker):
        await store.remove(worker, page)
    await store.finish(worker)


def clients(count: int, user: str = "ann") -> Iterable[ClientInfo]:
    return (info(user, f"c{n}") for n in range(count))


async def test_members_of_all_workers_are_seen(store: PresenceStore) -> None:
    one, other = new_worker_id(), new_worker_id()

    await put(store, one, "room", info("ann", "a", b'{"name":"Ann"}'))
    await put(store, other, "room", info("bob", "b"))

    assert await store.members("room") == {
        "a": info("ann", "a", b'{"name":"Ann"}'),
        "b": info("bob", "b"),
    }
    assert await store.stats("room") == PresenceStats(clients=2, users=2)
    assert await store.members("elsewhere") == {}
    assert await store.stats("elsewhere") == PresenceStats(0, 0)


async def test_a_user_with_several_clients_is_one(store: PresenceStore) -> None:
    one, other = new_worker_id(), new_worker_id()

    await put(store, one, "room", info("ann", "a"), info("ann", "b"), info("", "n"))
    await put(store, other, "room", info("ann", "c"), info("", "m"))
    assert await store.stats("room") == PresenceStats(5, 2)

    await drop(store, one, "room", "a", "b", "n")
    assert await store.stats("room") == PresenceStats(2, 2)


async def test_changes_are_carried_out_in_order(store: PresenceStore) -> None:
    me = new_worker_id()
    changes = [
        PresenceChange("room", "a", info("ann", "a")),
        PresenceChange("room", "a", None),
        PresenceChange("room", "b", None),
        PresenceChange("room", "b", info("bob", "b")),
        PresenceChange("hall", "a", info("ann", "a")),
    ]

    await store.write(me, next(_revisions), changes, upon=ANY)

    assert set(await store.members("room")) == {"b"}
    assert await everybody_of(store, me) == {("room", "b"), ("hall", "a")}


async def test_writing_the_same_twice_changes_nothing(store: PresenceStore) -> None:
    me = new_worker_id()
    for _ in range(2):
        await put(store, me, "room", info("ann", "a"), info("bob", "b"))
    for _ in range(2):
        await drop(store, me, "room", "b", "nobody")

    assert await store.stats("room") == PresenceStats(1, 1)


async def test_a_client_that_changes_its_user_is_counted_for_the_new_one(
    store: PresenceStore,
) -> None:
    me = new_worker_id()
    await put(store, me, "room", info("ann", "a"), info("bob", "b"))

    await put(store, me, "room", info("bob", "a"))

    assert await store.stats("room") == PresenceStats(2, 1)


async def test_a_sweep_finds_and_removes_all_of_one_worker_and_of_no_other(
    store: PresenceStore,
) -> None:
    dead, other = new_worker_id(), new_worker_id()
    await put(store, dead, "big", *clients(2500))
    for n in range(30):
        await put(store, dead, f"room{n}", info("ann", "a"))
    await put(store, other, "big", info("ann", "z"))
    found = await everybody_of(store, dead)

    await sweep(store, dead)

    assert len(found) == 2530
    assert await everybody_of(store, dead) == set()
    assert await store.members("big") == {"z": info("ann", "z")}
    assert await store.stats("big") == PresenceStats(1, 1)
    assert await store.stats("room7") == PresenceStats(0, 0)
    assert await store.revision(dead) is None


async def test_the_revision_tells_whether_writes_were_lost(store: PresenceStore) -> None:
    me = new_worker_id()
    change = [PresenceChange("room", "a", info("ann", "a"))]

    assert await store.revision(me) is None
    assert await store.write(me, 1, change, upon=range(1))
    assert not await store.write(me, 3, change, upon=range(2, 3))
    assert await store.revision(me) == 1
    assert await store.write(me, 4, [], upon=range(1, 4))
    assert await store.revision(me) == 4
    assert await store.write(me, 5, [], upon=None)
    assert await store.revision(me) == 5
