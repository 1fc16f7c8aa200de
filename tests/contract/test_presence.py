"""The guarantees of ``gateway.presence.base``, on every implementation."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import BrokerRefused
from gateway.presence.base import PresenceChange, PresenceStats, PresenceStore
from gateway.presence.memory import MemoryPresenceStore
from gateway.presence.redis import RedisPresenceStore
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.ids import WorkerId
from gateway.redis_support.url import parse
from tests.contract.addresses import EVERYWHERE, redis_url
from tests.support.ids import new_worker_id

ANY = range(1 << 32)
Step = tuple[WorkerId, list[PresenceChange] | None, bool]
_revisions, _prefixes = itertools.count(1), itertools.count()


@pytest.fixture(params=EVERYWHERE)
async def make_store(
    request: pytest.FixtureRequest,
) -> AsyncIterator[Callable[[], PresenceStore]]:
    async with AsyncExitStack() as stack:
        in_memory = request.param == "memory"
        url = "" if in_memory else await redis_url(request.param, request, stack)

        def make() -> PresenceStore:
            if in_memory:
                return MemoryPresenceStore()
            made = RedisPresenceStore(parse(url), prefix=f"presence{next(_prefixes)}")
            stack.push_async_callback(made.aclose)
            return made

        yield make


@pytest.fixture
def store(make_store: Callable[[], PresenceStore]) -> PresenceStore:
    return make_store()


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


async def test_what_was_swept_does_not_come_back_by_a_late_write(store: PresenceStore) -> None:
    dead, other = new_worker_id(), new_worker_id()
    await put(store, dead, "room", info("ann", "a"))
    await put(store, other, "room", info("bob", "b"))
    await sweep(store, dead)

    with pytest.raises(BrokerRefused):
        await put(store, dead, "room", info("ann", "a"))

    assert await store.stats("room") == PresenceStats(1, 1)
    assert set(await store.members("room")) == {"b"}


async def test_a_big_batch_of_many_channels_is_written_as_a_whole(store: PresenceStore) -> None:
    me = new_worker_id()
    changes = [
        PresenceChange(f"room{n % 3}", one.client, one) for n, one in enumerate(clients(2000))
    ]

    assert await store.write(me, next(_revisions), changes, upon=ANY)

    counts = [(await store.stats(f"room{n}")).clients for n in range(3)]
    assert sum(counts) == 2000
    assert len(await store.members("room0")) == counts[0]


WORKERS = [new_worker_id() for _ in range(3)]
CHANNELS = ["a", "b:c}d{e"]
CLIENTS = [f"c{n}" for n in range(4)]
CHANGES = st.builds(
    lambda channel, client, user: PresenceChange(
        channel, client, None if user is None else info(user, client)
    ),
    st.sampled_from(CHANNELS),
    st.sampled_from(CLIENTS),
    st.none() | st.sampled_from(["", "ann", "bob", "7:é"]),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(WORKERS), st.none() | st.lists(CHANGES, max_size=4), st.booleans()),
    max_size=12,
)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
async def test_numbers_are_those_of_the_members_whatever_is_written(
    make_store: Callable[[], PresenceStore], steps: list[Step]
) -> None:
    """Writes of several workers, each perhaps repeated, and workers that are swept."""
    store = make_store()
    names = {worker: new_worker_id() for worker in WORKERS}  # who is swept comes back as another
    model: dict[str, dict[tuple[WorkerId, str], ClientInfo]] = {name: {} for name in CHANNELS}
    for worker, changes, again in steps:
        me = names[worker]
        if changes is None:
            await sweep(store, me)
            for there in model.values():
                for key in [key for key in there if key[0] == me]:
                    del there[key]
            names[worker] = new_worker_id()
            continue
        # A client id belongs to one worker.
        mine = [
            PresenceChange(
                one.channel,
                me + one.client,
                one.info and msgspec.structs.replace(one.info, client=me + one.client),
            )
            for one in changes
        ]
        for _ in range(1 + again):
            assert await store.write(me, next(_revisions), mine, upon=ANY)
        for channel, client, one in mine:
            if one is None:
                model[channel].pop((me, client), None)
            else:
                model[channel][me, client] = one
    for channel, there in model.items():
        users = {one.user for one in there.values()}
        assert await store.stats(channel) == PresenceStats(len(there), len(users))
        assert await store.members(channel) == {c: one for (_, c), one in there.items()}
    for me in names.values():
        listed = {(name, c) for name, there in model.items() for w, c in there if w == me}
        assert await everybody_of(store, me) == listed
