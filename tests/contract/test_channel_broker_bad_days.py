"""What only a server in another process can do to a channel broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.channel_broker.base import Publishing, Stored
from gateway.channel_broker.redis import RedisChannelBroker
from gateway.errors import BrokerUnavailable, UnrecoverablePosition
from gateway.protocol.channel_position import Position
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support import keys
from gateway.redis_support.address import parse
from tests.contract.channel_brokers import (
    KEPT,
    Listener,
    channel,
    publish,
    running,
    said,
    until_connected,
)
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import blocking_eventually, eventually

Make = Callable[[str, Listener], Awaitable[RedisChannelBroker]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes brokers at a URL, running and connected."""
    async with AsyncExitStack() as stack:

        async def made(url: str, receiver: Listener) -> RedisChannelBroker:
            broker = RedisChannelBroker(parse(url), prefix="bad", name=f"worker{id(receiver)}")
            await stack.enter_async_context(running(broker, receiver))
            await until_connected(broker)
            return broker

        yield made


def no_offset_twice(*listeners: Listener) -> None:
    """No place in an epoch was ever given to two publications."""
    at: dict[tuple[str, int], bytes] = {}
    for listener in listeners:
        for name in {name for name, _ in listener.got}:
            for message in listener.messages(name):
                place = (name + message.epoch, message.offset)
                assert at.setdefault(place, message.body) == message.body


def kill_connections(server: RedisServer, ending: str) -> None:
    with server.client() as admin:
        for client in admin.client_list():
            if client["name"].endswith(ending):
                admin.client_kill_filter(_id=client["id"])


async def test_a_killed_subscription_is_told_and_made_anew(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name, other = Listener(), channel(), channel()
    broker = await make(own_redis.url, listener)
    await asyncio.gather(broker.subscribe(name), broker.subscribe(other))

    for count in range(1, 6):
        kill_connections(own_redis, ".channels.subscribe")
        await eventually(lambda count=count: len(listener.resyncs) == count, "a resync")  # type: ignore[misc]
        assert listener.resyncs[-1] == {name, other}
        await publish(broker, name, b"%d" % count)
        await broker.settle()
        assert listener.bodies(name)[-1] == b"%d" % count


async def test_what_was_given_back_while_deaf_is_not_told_of(
    make: Make, own_redis: RedisServer
) -> None:
    async with Proxy(own_redis.port) as proxy:
        listener, name, other = Listener(), channel(), channel()
        broker = await make(proxy.url, listener)
        await asyncio.gather(broker.subscribe(name), broker.subscribe(other))
        proxy.cut()
        await eventually(lambda: not broker.connected, "the loss")
        broker.unsubscribe(other)
        again = broker.subscribe(other)
        proxy.mend()

        await eventually(lambda: listener.resyncs, "a resync")
        await again
        assert listener.resyncs == [{name}]


async def test_a_subscriber_that_is_cut_off_for_its_buffer_is_told(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name = Listener(), channel()
    with own_redis.client() as admin:
        admin.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
        broker = await make(own_redis.url, listener)
        await broker.subscribe(name)
        before = await said(broker, name, 1)

        for _ in range(400):  # this holds the loop, which reads nothing
            admin.publish(keys.channel_messages("bad", name), b"p0::" + bytes(100_000))

    await eventually(lambda: listener.resyncs == [{name}], "a resync")
    assert (await broker.read(name, None, KEPT)).top == before[0].position
    await said(broker, name, 1)
    await eventually(lambda: listener.offsets(name)[-1] == 2, "the next message")


async def test_a_server_that_comes_back_empty_begins_another_epoch(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name = Listener(), channel()
    broker = await make(own_redis.url, listener)
    await broker.subscribe(name)
    first = (await said(broker, name, 5))[-1].position
    assert first is not None
    await broker.settle()

    own_redis.kill()
    with pytest.raises(BrokerUnavailable):
        await broker.publish(Publishing(name, b"", KEPT))
    assert not broker.connected
    with pytest.raises(BrokerUnavailable):
        await broker.read(name, 0, KEPT)
    with pytest.raises(BrokerUnavailable):
        await broker.settle()
    own_redis.start()

    stored = await publish(broker, name, b"another")
    assert stored.position is not None
    assert stored.position.epoch != first.epoch
    assert stored.position.offset == 1
    await eventually(lambda: listener.resyncs, "a resync")
    await said(broker, name, 5)
    await broker.settle()
    no_offset_twice(listener)


async def test_a_restarted_server_with_a_snapshot_begins_another_epoch(
    make: Make, own_redis: RedisServer
) -> None:
    """Red without the run id: the snapshot gives offset 2 to another publication."""
    listener, name = Listener(), channel()
    broker = await make(own_redis.url, listener)
    await broker.subscribe(name)
    [one] = await said(broker, name, 1)
    with own_redis.client() as admin:
        admin.save()
    await said(broker, name, 3)
    await broker.settle()
    own_redis.kill()
    own_redis.start()

    top = (await eventually_read(broker, name)).epoch
    assert one.position is not None
    assert top != one.position.epoch
    await said(broker, name, 5)
    await broker.settle()
    no_offset_twice(listener)


async def eventually_read(broker: RedisChannelBroker, name: str) -> Position:
    """The top, once the server can be asked."""
    async with asyncio.timeout(10):
        while True:
            try:
                return (await broker.read(name, None, KEPT)).top
            except BrokerUnavailable:
                await asyncio.sleep(0.01)


@pytest.fixture
def replica(own_redis: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "replica"
    folder.mkdir()
    follows = ("--replicaof", f"127.0.0.1 {own_redis.port}", "--repl-diskless-sync-delay", "0")
    with RedisServer(folder, *follows) as server:
        with server.client() as admin:
            blocking_eventually(
                lambda: admin.info("replication")["master_link_status"] == "up", "replication", 15
            )
        yield server


@pytest.mark.parametrize("first", ["publish", "read"])
async def test_a_replica_without_the_tail_gives_no_offset_out_again(
    make: Make, own_redis: RedisServer, replica: RedisServer, first: str
) -> None:
    """Red without the run id: offsets 4 to 6 name two publications."""
    async with Proxy(own_redis.port) as proxy:
        one, two, name = Listener(), Listener(), channel()
        publisher, subscriber = await make(proxy.url, one), await make(proxy.url, two)
        await asyncio.gather(publisher.subscribe(name), subscriber.subscribe(name))
        await said(publisher, name, 3)
        with replica.client() as admin:
            key = keys.history("bad", name)
            blocking_eventually(lambda: admin.xlen(key) == 3, "replication")
            admin.execute_command("REPLICAOF", "NO", "ONE")
        lost = [await publisher.publish(Publishing(name, b"lost%d" % n, KEPT)) for n in range(4, 7)]
        await asyncio.gather(publisher.settle(), subscriber.settle())
        proxy.target_port = replica.port
        proxy.reset()
        await eventually(lambda: one.resyncs and two.resyncs, "resyncs")

        since = lost[-1].position
        assert since is not None
        if first == "read":
            top = await eventually_read(subscriber, name)
            assert top.offset == 0
            assert top.epoch != since.epoch
        await until_connected(publisher)
        stored = [await publish(publisher, name, b"kept%d" % n) for n in range(6)]
        assert [place.position.offset for place in stored if place.position] == [1, 2, 3, 4, 5, 6]
        assert await eventually_read(subscriber, name) == stored[-1].position
        with pytest.raises(UnrecoverablePosition):
            await subscriber.page(name, KEPT, limit=10, since=since)
        await asyncio.gather(publisher.settle(), subscriber.settle())
        assert two.bodies(name)[-6:] == [b"kept%d" % n for n in range(6)]
        no_offset_twice(one, two)


async def test_subscribing_in_an_outage_fails_in_time_and_works_later(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name, pending = Listener(), channel(), channel()
    broker = await make(own_redis.url, listener)
    own_redis.kill()
    await eventually(lambda: not broker.connected, "the loss")

    asked_at = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="acknowledged"):
        await broker.subscribe(name)
    assert time.monotonic() - asked_at < REDIS_DEADLINE_S + 1.0
    subscribed = broker.subscribe(pending)
    own_redis.start()
    await subscribed
    await publish(broker, name, b"not subscribed")
    await publish(broker, pending, b"subscribed")
    await broker.settle()
    assert [name for name, _ in listener.got] == [pending]

    await broker.subscribe(name)
    await publish(broker, name, b"now")
    await broker.settle()
    assert listener.bodies(name) == [b"now"]
    assert not [told for told in listener.resyncs if name in told]


async def test_a_frozen_link_fails_what_waits_and_repeats_nothing(
    make: Make, own_redis: RedisServer
) -> None:
    async with Proxy(own_redis.port) as proxy:
        broker, name = await make(proxy.url, Listener()), channel()
        await said(broker, name, 1)
        proxy.freeze_answers()

        asked = [broker.publish(Publishing(name, b"in doubt", KEPT))]
        await asyncio.sleep(0)
        asked.append(broker.publish(Publishing(name, b"not sent", KEPT)))
        settled = broker.settle()
        outcomes = await asyncio.gather(*asked, settled, return_exceptions=True)

        assert all(isinstance(outcome, BrokerUnavailable) for outcome in outcomes)
        assert "nobody knows" in str(outcomes[0])
        assert "not published" in str(outcomes[1])
        proxy.thaw()
        await until_connected(broker)
        found = (await broker.read(name, 0, KEPT)).publications
        assert [one.payload for one in found] == [b"1", b"in doubt"]


async def test_a_thousand_channels_are_subscribed_again(make: Make, own_redis: RedisServer) -> None:
    listener, names = Listener(), [channel() for _ in range(2500)]
    broker = await make(own_redis.url, listener)
    await asyncio.gather(*[broker.subscribe(name) for name in names])
    with own_redis.client() as admin:
        before = admin.info("commandstats")["cmdstat_subscribe"]["calls"]
        assert before <= 4  # one for 1000
    kill_connections(own_redis, ".channels.subscribe")
    for name in names[1000:]:
        broker.unsubscribe(name)

    await eventually(lambda: listener.resyncs, "a resync")
    assert listener.resyncs == [set(names[:1000])]
    await asyncio.gather(*[publish(broker, name, b"hi") for name in names])
    await broker.settle()
    assert sorted(name for name, _ in listener.got) == sorted(names[:1000])
    with own_redis.client() as admin:
        assert len(admin.pubsub_channels()) == 1000


class TestHostileContent:
    """Counted, said, passed over or removed. It ends nothing."""

    @pytest.fixture
    async def broker(self, make: Make, redis_server: RedisServer) -> RedisChannelBroker:
        return await make(redis_server.url, Listener())

    @pytest.fixture
    def counted(self, broker: RedisChannelBroker) -> list[str]:
        kinds: list[str] = []
        broker._address.node.count = kinds.append
        return kinds

    @pytest.mark.parametrize("what", ["stream", "meta"])
    @pytest.mark.parametrize("first", ["publish", "read"])
    async def test_a_key_of_another_type_is_removed(
        self, broker: RedisChannelBroker, redis_server: RedisServer, counted: list[str],
        what: str, first: str,
    ) -> None:  # fmt: skip
        name = channel()
        [was] = await said(broker, name, 1)
        key = {"stream": keys.history, "meta": keys.history_meta}[what]("bad", name)
        with redis_server.client() as admin:
            admin.set(key, "garbage")

        if first == "read":
            history = await broker.read(name, 0, KEPT)
            assert not history.publications
            assert counted == ["garbage"]
        stored = await said(broker, name, 2)

        assert counted == ["garbage"]
        assert_begins_anew(was, stored)
        assert len((await broker.read(name, 0, KEPT)).publications) == 2

    @pytest.mark.parametrize(
        "meta",
        [
            {"epoch": ""}, {"epoch": "a:b"}, {"epoch": b"\xff"}, {"top": "-1"}, {"top": "1.5"},
            {"top": "none"}, {"top": "9" * 16}, {"top": ""},
        ],
    )  # fmt: skip
    async def test_what_no_script_wrote_begins_another_epoch(
        self, broker: RedisChannelBroker, redis_server: RedisServer, counted: list[str],
        meta: dict[str, str],
    ) -> None:  # fmt: skip
        name = channel()
        [was] = await said(broker, name, 1)
        with redis_server.client() as admin:
            admin.hset(keys.history_meta("bad", name), mapping=meta)

        assert_begins_anew(was, await said(broker, name, 2))
        assert counted == ["garbage"]

    async def test_entries_of_somebody_else_are_passed_over(
        self, broker: RedisChannelBroker, redis_server: RedisServer, counted: list[str]
    ) -> None:
        name = channel()
        await said(broker, name, 1)
        with redis_server.client() as admin:
            stream = keys.history("bad", name)
            admin.xadd(stream, {"b": "none"}, id="1-1")
            admin.xadd(stream, {"c": "none"}, id="2-0")
            admin.xadd(stream, {"b": "one", "c": "more"}, id="3-0")
            admin.xadd(stream, {"b": b"after the top"}, id="9-0")

        history = await broker.read(name, 0, KEPT)
        page = await broker.page(name, KEPT, limit=10)

        assert list(history.publications) == list(page.publications) == [(1, b"1")]
        assert set(counted) == {"garbage"}

    async def test_a_publication_after_entries_of_somebody_else_begins_another_epoch(
        self, broker: RedisChannelBroker, redis_server: RedisServer, counted: list[str]
    ) -> None:
        name = channel()
        [was] = await said(broker, name, 1)
        with redis_server.client() as admin:
            admin.xadd(keys.history("bad", name), {"b": "none"}, id="5-0")

        assert_begins_anew(was, await said(broker, name, 2))
        assert counted == ["garbage"]

    async def test_an_answer_that_is_none_is_an_error_or_is_written_anew(
        self, broker: RedisChannelBroker, redis_server: RedisServer, counted: list[str]
    ) -> None:
        name = channel()
        answer = keys.history_answer("bad", name, "k")
        publishing = Publishing(name, b"", KEPT, idempotency_key="k")
        with redis_server.client() as admin:
            admin.set(answer, "garbage")
            assert not (await broker.publish(publishing)).suppressed
            assert (await broker.publish(publishing)).suppressed
            admin.delete(answer)
            admin.rpush(answer, "garbage")
            with pytest.raises(BrokerUnavailable, match="WRONGTYPE"):
                await broker.publish(publishing)
            assert counted == ["wrongtype"]
            assert 0 < admin.pttl(keys.history_meta("bad", name)) <= 120_000

    async def test_one_that_is_refused_harms_no_other(
        self, broker: RedisChannelBroker, redis_server: RedisServer
    ) -> None:
        name, good = channel(), channel()
        with redis_server.client() as admin:
            admin.rpush(keys.history_answer("bad", name, "k"), "garbage")
        refused = broker.publish(Publishing(name, b"", KEPT, idempotency_key="k"))
        stored = await said(broker, good, 3)

        with pytest.raises(BrokerUnavailable):
            await refused
        assert [one.position.offset for one in stored if one.position] == [1, 2, 3]

    async def test_noise_in_pub_sub_is_handed_on_and_ends_nothing(
        self, make: Make, redis_server: RedisServer
    ) -> None:
        listener, name = Listener(), channel()
        broker = await make(redis_server.url, listener)
        await broker.subscribe(name)
        with redis_server.client() as admin:
            admin.publish(keys.channel_messages("bad", name), bytes(range(256)))
        await said(broker, name, 1)
        await broker.settle()
        assert [payload[:2] for _, payload in listener.got] == [b"\x00\x01", b"p1"]


def assert_begins_anew(was: Stored, stored: list[Stored]) -> None:
    assert was.position is not None
    assert [one.position.offset for one in stored if one.position] == list(
        range(1, len(stored) + 1)
    )
    assert was.position.epoch not in {one.position.epoch for one in stored if one.position}


async def test_a_server_without_memory_refuses_and_skips_no_offset(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name = Listener(), channel()
    broker = await make(own_redis.url, listener)
    await broker.subscribe(name)
    [was] = await said(broker, name, 1)
    with own_redis.client() as admin:
        admin.config_set("maxmemory", "100kb")
        with pytest.raises(BrokerUnavailable, match="OOM"):
            await broker.publish(Publishing(name, b"", KEPT))
        assert (await broker.read(name, None, KEPT)).top == was.position
        await broker.publish(Publishing(name, b"not stored"))
        admin.config_set("maxmemory", "0")

    [stored] = await said(broker, name, 1)
    assert was.position is not None
    assert stored.position == (was.position.epoch, 2)
    await broker.settle()
    assert listener.offsets(name) == [1, 0, 2]


async def test_scripts_that_a_server_has_lost_are_loaded_and_nothing_comes_twice(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name = Listener(), channel()
    broker = await make(own_redis.url, listener)
    await broker.subscribe(name)
    done: list[int] = []

    async def flush() -> None:
        with own_redis.client() as admin:
            while not done:
                admin.script_flush()
                await asyncio.sleep(0.001)

    flushing = asyncio.create_task(flush())
    stored: list[Stored | BaseException] = []
    for first in range(0, 2000, 20):
        stored += await asyncio.gather(
            *[broker.publish(Publishing(name, b"%d" % n, KEPT)) for n in range(first, first + 20)],
            return_exceptions=True,
        )
        await broker.read(name, 0, KEPT)
    done.append(1)
    await flushing
    await broker.settle()

    failed = [outcome for outcome in stored if not isinstance(outcome, Stored)]
    assert all(isinstance(outcome, BrokerUnavailable) for outcome in failed)
    heard = [int(body) for body in listener.bodies(name)]
    assert heard == [n for n, one in enumerate(stored) if isinstance(one, Stored)]
    assert listener.offsets(name) == list(range(1, len(heard) + 1))
    assert len(heard) > 1000
