"""A master of a Cluster that is away: what lives on the others goes on, and notices nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.backend_client.channels import ClientChannels
from gateway.broker.redis_cluster import ClusterBroker
from gateway.broker.redis_publisher import RedisPublisher
from gateway.channel_broker.base import HistoryOptions, Publishing
from gateway.channel_broker.redis_cluster import ClusterChannelBroker
from gateway.channels.local_channel import LocalChannel
from gateway.channels.reads import AT_ONCE, Reads
from gateway.cluster.presence_sweep import PresenceSweep
from gateway.errors import BrokerUnavailable
from gateway.presence.base import MembersLeft, PresenceChange, PresenceStats
from gateway.presence.redis import RedisPresenceStore
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.channel_steps import Read
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.protocol.ids import WorkerId
from gateway.protocol.recovery import History
from gateway.redis_support import keys
from gateway.redis_support.slots import slot_of
from gateway.redis_support.url import parse
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.contract.channel_brokers import Listener, until_connected
from tests.contract.channel_brokers import running as running_channels
from tests.contract.test_broker import Collector, publish, running
from tests.support.ids import new_worker_id
from tests.support.logs import capture_logs
from tests.support.redis_cluster import Owners, RedisCluster, frozen, masters_alone
from tests.support.waiting import eventually, eventually_async

ROUNDS = 600
PAUSE_S = 0.005  # so that they outlast deadlines
MEANWHILE = 5  # rounds; it is four at most where nobody waits for anything
KEPT = HistoryOptions(10, 60, 60)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with masters_alone(tmp_path) as made:
        yield made


def names_at(cluster: RedisCluster, number: int, form: str) -> list[str]:
    """Two names whose channels live at this master."""
    node = cluster.nodes[number]
    first, last, _ = next(
        one for one in node.ask("CLUSTER", "SLOTS") if int(one[2][1]) == node.port
    )
    names = (f"room{n}" for n in range(1000))
    found = [name for name in names if first <= slot_of(form.format(name)) <= last]
    return found[:2]


class Plain:
    """Publishes at some masters of a Cluster, knowing of each alone."""

    def __init__(self, cluster: RedisCluster, at: Sequence[tuple[int, str]]) -> None:
        """``at``: The numbers of masters, each with a name that lives there."""
        address = parse(cluster.url)
        masters = [("127.0.0.1", cluster.nodes[number].port) for number, _ in at]
        self._at = [
            (RedisPublisher(address.at(master), name="plain"), name)
            for master, (_, name) in zip(masters, at, strict=True)
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(publisher.run()) for publisher, _ in self._at]
        try:
            await eventually(lambda: all(one.connected for one, _ in self._at), "connections")
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def round(self) -> None:
        """One publication at each, one after the other."""
        for publisher, name in self._at:
            await publisher.publish([(name, b"")])


async def test_what_lives_on_other_masters_notices_nothing(cluster: RedisCluster) -> None:
    """Batches of links and publications of channels while a third of the Cluster is frozen, from
    before anybody finds out until after: one in a hundred is held up, at most.

    That is counted in what others get done at the same masters meanwhile, who never heard of the
    third: what else this machine does slows both. Red when one round in thirty waits 30 ms for the
    master that is away.
    """
    form = keys.channel_messages("iso", "{}").replace("{chan:{}}", "{{chan:{}}}")
    links, their_link = (names_at(cluster, number, "{}")[0] for number in (0, 2))
    room, their_room = (names_at(cluster, number, form)[0] for number in (1, 2))
    plain = Plain(cluster, [(0, links), (1, names_at(cluster, 1, "{}")[0])])
    inbox, listener = Collector(), Listener()
    channels = ClusterChannelBroker(parse(cluster.url), prefix="iso")
    async with (
        running(ClusterBroker(parse(cluster.url)), inbox) as broker,
        running_channels(channels, listener),
        plain.running(),
    ):
        for name in (links, their_link):
            await broker.subscribe(name)
        for name in (room, their_room):
            await channels.subscribe(name)
        await until_connected(channels)
        await publish(broker, (links, b"warm"), (their_link, b"warm"))
        await channels.publish(Publishing(their_room, b"warm", KEPT))

        async def one_round() -> None:
            assert await broker.route(links).publish([(links, b"")]) == [1]
            assert (await channels.publish(Publishing(room, b"", KEPT))).position is not None

        async def rounds_meanwhile() -> int:
            measured = asyncio.create_task(one_round())
            rounds = 0
            while not measured.done():
                await plain.round()
                rounds += 1
            await measured
            return rounds

        def away() -> set[str]:
            return {name for name, away in broker.reach().masters_away.items() if away}

        frozen, took = cluster.nodes[2], list[int]()
        frozen.freeze()
        try:
            held_up: list[asyncio.Future[Any]] = [
                broker.route(their_link).publish([(their_link, b"")]),
                channels.publish(Publishing(their_room, b"", KEPT)),
            ]
            while len(took) < ROUNDS or not away():
                took.append(await rounds_meanwhile())
                await asyncio.sleep(PAUSE_S)
            assert away() == {f"127.0.0.1:{frozen.port}"}
            assert not any(one.done() and one.exception() is None for one in held_up)
        finally:
            frozen.thaw()
        await asyncio.wait(held_up)

    print(f"rounds meanwhile: {sorted(Counter(took).items())}")
    assert sum(rounds > MEANWHILE for rounds in took) <= len(took) / 100
    assert {name for told in inbox.resyncs for name in told.channels} <= {their_link}
    assert set().union(*listener.resyncs) <= {their_room}


async def test_a_client_works_where_masters_are_up(cluster: RedisCluster) -> None:
    """It begins while one is away. Red when it waits for all of them."""
    address, form = parse(cluster.url), keys.channel_messages("away", "{}")
    form = form.replace("{chan:{}}", "{{chan:{}}}")
    workers = slot_of(keys.workers("away"))
    gone = next(n for n in range(3) if not cluster.nodes[n].owns(workers))
    here = next(n for n in range(3) if n != gone)
    namespaces = Namespaces(ChannelOptions(presence=True))
    broker = ClusterChannelBroker(parse(cluster.url), prefix="away")
    async with running_channels(broker, Listener()):
        await broker.share_namespaces(namespaces.as_json(), starting=True)
    await asyncio.to_thread(cluster.nodes[gone].kill)

    client = ClientChannels(address, prefix="away", name="client")
    try:
        async with asyncio.timeout(REDIS_DEADLINE_S):
            [name, *_] = names_at(cluster, here, form)
            publisher, presence = await client.publisher(), await client.presence()
            await publisher.publish(name, b'"hello"')
            assert (await presence.stats(name)).clients == 0
    finally:
        await client.aclose()


async def test_a_channel_that_was_left_alone_goes_on_where_its_old_master_has_left(
    cluster: RedisCluster,
) -> None:
    """Nothing of it was lost. Red when who is master no more was lost, whatever became of it; and
    when only those know that it left who saw it: others began another epoch, for everybody.
    """
    broker = ClusterChannelBroker(parse(cluster.url), prefix="left")
    slot = slot_of(keys.channel_messages("left", "room"))
    home, added = cluster.master_of(slot), await asyncio.to_thread(cluster.add)
    masters = broker._nodes.cluster
    async with running_channels(broker, Listener()):
        await asyncio.to_thread(cluster.move, slot, added)
        stored = await broker.publish(Publishing("room", b"1", KEPT))
        assert masters.owner(slot) == ("127.0.0.1", added.port)
        await asyncio.to_thread(cluster.move, slot, home)
        await eventually(lambda: len(masters.masters) == 3, "the map without it", 10)
        await asyncio.to_thread(cluster.remove, added)

        later = ClusterChannelBroker(parse(cluster.url), prefix="left")
        async with running_channels(later, Listener()):
            read = await later.read("room", 0, KEPT)
        assert await broker.read("room", 0, KEPT) == read

    assert read.top == stored.position
    assert [one.payload for one in read.publications] == [b"1"]


async def test_members_of_the_dead_are_swept_where_masters_are_up(cluster: RedisCluster) -> None:
    """And at the one that was away by the next sweep. Red when a page spans it and fails whole."""
    store, me = RedisPresenceStore(parse(cluster.url), prefix="swept"), new_worker_id()
    workers = slot_of(keys.workers("swept"))
    gone = next(node for node in cluster.nodes if not node.owns(workers))
    channels = [f"room{number}" for number in range(60)]
    there = {
        channel for channel in channels
        if cluster.master_of(keys.channel_messages("swept", channel)) is gone
    }  # fmt: skip
    told: list[str] = []

    async def tell(channel: str, _: bytes) -> None:
        told.append(channel)

    sweep = PresenceSweep(store, tell=tell, tells=lambda _: True)
    ann = ClientInfo("ann", "1")
    try:
        assert await store.write(me, 1, [PresenceChange(c, "1", ann) for c in channels], upon=None)
        with frozen(gone):
            with pytest.raises(BrokerUnavailable, match=f"{len(there)} channels .* are left"):
                await sweep.run(me)
            assert {*told} == {*channels} - there
            for channel in {*channels} - there:
                assert await store.stats(channel) == PresenceStats(0, 0)
        await eventually_swept(sweep, me)
        assert sorted(told) == sorted(channels)
        for channel in there:
            assert await store.stats(channel) == PresenceStats(0, 0)
    finally:
        await store.aclose()


async def eventually_swept(sweep: PresenceSweep, worker: WorkerId) -> None:
    async def swept() -> bool:
        try:
            await sweep.run(worker)
        except BrokerUnavailable:  # the master is not waited for at once again
            return False
        return True

    await eventually_async(swept, "a whole sweep", 10)


async def test_members_are_written_and_looked_at_where_masters_are_up(
    cluster: RedisCluster,
) -> None:
    """Red when one master fails a write or a look whole, and when it holds up the others: they
    waited for 3 s.
    """
    store, me = RedisPresenceStore(parse(cluster.url), prefix="wrote"), new_worker_id()
    workers = slot_of(keys.workers("wrote"))
    gone = next(node for node in cluster.nodes if not node.owns(workers))
    channels = [f"room{number}" for number in range(30)]
    owners = Owners(cluster)
    there = {c for c in channels if owners.at(gone, keys.channel_messages("wrote", c))}
    rest = [channel for channel in channels if channel not in there]
    ann, bob = ClientInfo("ann", "1"), ClientInfo("bob", "2")
    joins = [PresenceChange(channel, "2", bob) for channel in channels]
    try:
        assert await store.write(me, 1, [PresenceChange(c, "1", ann) for c in channels], upon=None)
        with frozen(gone):
            async with asyncio.timeout(REDIS_DEADLINE_S):
                for revision in (2, 3):
                    with pytest.raises(MembersLeft) as left:
                        await store.write(me, revision, joins, upon=range(revision - 1, revision))
                    assert left.value.channels == there
                assert await store.revision(me) == 3
                for channel in rest:
                    assert await store.stats(channel) == PresenceStats(2, 2)
                looked = dict(zip(channels, await store.look(me, 3, channels), strict=True))
            assert [looked[channel] for channel in rest] == [2] * len(rest)
            assert all(isinstance(looked[channel], BrokerUnavailable) for channel in there)

        async def written() -> bool:
            with suppress(MembersLeft):  # it answers late what nobody waits for any more
                return await store.write(me, 4, joins, upon=None)
            return False

        await eventually_async(written, "the members that were left", 10)
        for channel in there:
            assert await store.stats(channel) == PresenceStats(2, 2)
    finally:
        await store.aclose()


async def test_a_channel_that_is_denied_leaves_the_others_of_its_master_alone(
    cluster: RedisCluster,
) -> None:
    """By an ACL at one master: those are heard meanwhile, and that one once it is allowed. Red when
    it gives up the connection: its other channels missed messages, again and again.
    """
    form = keys.channel_messages("acl", "{}").replace("{chan:{}}", "{{chan:{}}}")
    open_room, closed_room = names_at(cluster, 0, form)
    allowed = ("ON", ">secret", "~*", "+@all", "resetchannels", f"&{form.format(open_room)}")
    for node in cluster.nodes:
        node.ask("ACL", "SETUSER", "worker", *allowed)
    url = cluster.url.replace("://", "://worker:secret@")
    broker, listener = ClusterChannelBroker(parse(url), prefix="acl"), Listener()
    publisher = ClusterChannelBroker(parse(cluster.url), prefix="acl")
    async with running_channels(broker, listener), running_channels(publisher, Listener()):
        await until_connected(publisher)
        await broker.subscribe(open_room)
        with capture_logs() as logged:
            denied = broker.subscribe(closed_room)
            published = 0
            while not denied.done():
                published += 1
                await publisher.publish(Publishing(open_room, b"%d" % published))
                await asyncio.sleep(PAUSE_S)
        assert isinstance(denied.exception(), BrokerUnavailable)
        await eventually(lambda: len(listener.got) == published, "every message")
        cluster.nodes[0].ask("ACL", "SETUSER", "worker", f"&{form.format(closed_room)}")
        await broker.subscribe(closed_room)
        await publisher.publish(Publishing(closed_room, b"hi"))
        await eventually(lambda: listener.bodies(closed_room) == [b"hi"], "what is allowed")

    refusals = [line for line in logged if line["event"] == "redis refuses"]
    assert [line["command"] for line in refusals] == [f"SSUBSCRIBE {closed_room}"]
    assert listener.resyncs == []


async def test_channels_of_slots_that_nobody_has_hold_up_no_read_of_others(
    cluster: RedisCluster,
) -> None:
    """Each waits 3 s for a master. Red when they count among the reads of those that are up."""
    going, owners, ended = cluster.nodes[2], Owners(cluster), dict[str, History | None]()
    names = [f"room{number}" for number in range(6 * AT_ONCE)]
    nobodys = {n for n in names if owners.at(going, keys.channel_messages("reads", n))}
    rest = {*names} - nobodys
    broker = ClusterChannelBroker(parse(cluster.url), prefix="reads")
    reads = Reads(broker, lambda local, _, read: ended.update({local.name: read}))

    def all_connected() -> bool:
        nodes = [*broker._nodes]
        return len(nodes) == 3 and all(node.connected for node in nodes)

    first, last = next(
        (first, last) for first, last, master in going.ask("CLUSTER", "SLOTS")
        if int(master[1]) == going.port
    )  # fmt: skip
    async with running_channels(broker, Listener()):
        await eventually(all_connected, "connections", 10)
        for node in cluster.nodes:
            node.ask("CLUSTER", "DELSLOTSRANGE", first, last)
        await eventually(lambda: broker._nodes.cluster.uncovered > 0, "slots of nobody", 10)
        for name in (*nobodys, *rest):
            reads.begin(LocalChannel(name, KEPT, now=0.0), Read(1, None))
        await eventually(lambda: rest <= ended.keys(), "those of others", 10)
        await reads.aclose()

    assert len(nobodys) > AT_ONCE
    assert ended.keys() == rest
    assert None not in ended.values()


async def test_a_node_of_another_cluster_at_the_address_of_one_is_not_believed(
    cluster: RedisCluster, tmp_path: Path
) -> None:
    """As where addresses are given to others. Red when the newest configuration counts: all slots
    were at the masters of the other Cluster then, for ever.
    """
    masters = parse(cluster.url).cluster
    assert masters is not None
    await masters.refresh()
    known, gone = masters.masters, cluster.nodes[2]
    (tmp_path / "other").mkdir()
    other = masters_alone(tmp_path / "other")
    await asyncio.to_thread(gone.kill)
    other.nodes[0].port = gone.port
    with other:
        other.nodes[0].ask("CLUSTER", "BUMPEPOCH")
        assert other.nodes[0].port == gone.port
        for _ in range(3):
            await masters.refresh()
            assert masters.masters == known
    await masters.aclose()
