"""What a channel broker finds in Redis that is none of its own, and what it does not find."""

from __future__ import annotations

import asyncio

import pytest

from gateway.channel_broker.base import Publishing, Stored
from gateway.channel_broker.departed import LETTERS
from gateway.channel_broker.redis import RedisChannelBroker
from gateway.errors import BrokerUnavailable
from gateway.redis_support import keys
from tests.contract.channel_brokers import (
    KEPT,
    Listener,
    Make,
    channel,
    said,
)
from tests.support.redis_server import RedisServer


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

    async def test_who_has_left_is_kept_as_run_ids_and_nothing_else(
        self, broker: RedisChannelBroker, redis_server: RedisServer, counted: list[str]
    ) -> None:
        key = keys.departed("bad")
        with redis_server.client() as admin:
            admin.set(key, "garbage")
            assert await broker.departed({"a1": 1}, (), most=2) == ["a1"]
            assert counted == ["wrongtype", "garbage"]
            admin.zadd(key, {b"\xff": 2, "two words": 3})

            assert await broker.departed({"b2": 4, "a1": 9}, (), most=2) == ["a1", "b2"]
            assert admin.zrange(key, 0, -1, withscores=True) == [(b"a1", 1), (b"b2", 4)]
            assert await broker.departed({"c3": 5}, ["b2"], most=2) == ["a1", "c3"]
            assert await broker.departed({"d4": 6}, (), most=2) == ["c3", "d4"]
            assert await broker.departed({}, (), most=2) == ["c3", "d4"]

    async def test_who_has_left_is_known_by_its_first_letters(
        self, broker: RedisChannelBroker, redis_server: RedisServer
    ) -> None:
        """Red when it has to be told whole, and when less will do."""
        name, before = channel(), "0123456789abcdef" * 2 + "01234567"
        [was] = await said(broker, name, 1)
        key = keys.history_meta("bad", name)
        with redis_server.client() as admin:
            for told in (before, before[:LETTERS]):
                admin.hset(key, "server", before)
                broker.trust(["f" * 40, told])
                read = await broker.read(name, 0, KEPT)
                assert read.top == was.position
                assert admin.hget(key, "server") == broker.run_id.encode()
            admin.hset(key, "server", before)
            broker.trust([before[: LETTERS - 1], before[1 : LETTERS + 1]])
            read = await broker.read(name, 0, KEPT)

        assert was.position is not None
        assert read.top.epoch != was.position.epoch

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

    @pytest.mark.parametrize("version", ["9" * 17, "x" * 30, ""])
    async def test_a_version_that_is_none_suppresses_nothing(
        self, broker: RedisChannelBroker, redis_server: RedisServer, counted: list[str],
        version: str,
    ) -> None:  # fmt: skip
        """Red before: what has more characters than a version was above them all."""
        name = channel()
        await broker.publish(Publishing(name, b"", KEPT, version=1, version_epoch="e"))
        with redis_server.client() as admin:
            admin.hset(keys.history_meta("bad", name), "version", version)

        second = Publishing(name, b"", KEPT, version=2, version_epoch="e")
        assert not (await broker.publish(second)).suppressed
        assert (await broker.publish(second)).suppressed
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
