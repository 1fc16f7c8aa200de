"""What publications cost Redis: commands, round trips and memory. And what may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.channel_broker.base import HistoryOptions, Publishing
from gateway.channel_broker.redis import RedisChannelBroker
from gateway.channel_broker.redis_publications import (
    MAX_PIPELINE,
    MAX_PIPELINE_BYTES,
    MAX_TOGETHER,
    MAX_WAITING,
    MAX_WAITING_BYTES,
)
from gateway.channel_broker.redis_scripts import publishing_size
from gateway.errors import BrokerUnavailable
from gateway.protocol.channel_position import Position
from gateway.redis_support.url import parse
from gateway.redis_support.writing import Command
from tests.contract.channel_brokers import KEPT, Listener, channel, running, until_connected
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, eventually_async

META_BYTES = 250  # docs/reference/redis.md says so
ANSWER_BYTES = 200
OVERHEAD = 4 / 3  # of a stream, for each byte of its bodies


@pytest.fixture
async def link(own_redis: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(own_redis.port, delay_s=0.005) as proxy:
        yield proxy


@pytest.fixture
async def broker(link: Proxy) -> AsyncIterator[RedisChannelBroker]:
    broker = RedisChannelBroker(parse(link.url), prefix="cost")
    async with running(broker, Listener()):
        await until_connected(broker)
        yield broker


@contextmanager
def pipelines(broker: RedisChannelBroker) -> Iterator[list[Sequence[Command]]]:
    """What is sent as one."""
    sent: list[Sequence[Command]] = []
    connection = broker._publishing.connection
    assert connection is not None
    execute = connection.execute

    def noted(commands: Sequence[Command], **options: Any) -> Any:
        if commands[0][0] != "HELLO":
            sent.append(commands)
        return execute(commands, **options)

    connection.execute = noted  # type: ignore[method-assign]
    yield sent
    connection.execute = execute  # type: ignore[method-assign]


def calls(server: RedisServer) -> dict[str, int]:
    with server.client() as admin:
        stats = admin.info("commandstats")
    return {name.removeprefix("cmdstat_"): of["calls"] for name, of in stats.items()}


async def test_a_publication_is_at_most_one_command(
    broker: RedisChannelBroker, own_redis: RedisServer
) -> None:
    """EVALSHA where it is stored, which publishes it and those of its channel that come right
    after it; else PUBLISH. A burst is one round trip.
    """
    before, name = calls(own_redis), channel()
    with pipelines(broker) as sent:
        await asyncio.gather(
            *[broker.publish(Publishing(name, b"%d" % n, KEPT)) for n in range(200)],
            *[broker.publish(Publishing(name, b"%d" % n)) for n in range(100)],
        )
    after = calls(own_redis)

    assert after["evalsha"] - before.get("evalsha", 0) == 200 / MAX_TOGETHER
    assert after["hmget"] == after["evalsha"] - before.get("evalsha", 0)
    assert after["xadd"] == 200
    assert after["publish"] == 200 + 100
    assert after.get("eval", 0) == before.get("eval", 0)
    assert len(sent) == 1


async def test_what_is_published_meanwhile_goes_with_the_next_pipeline(
    broker: RedisChannelBroker, link: Proxy
) -> None:
    name, published = channel(), []
    with pipelines(broker) as sent:
        link.freeze_answers()  # all the while the first is under way
        for n in range(300):
            published.append(broker.publish(Publishing(name, b"%d" % n)))
            await asyncio.sleep(0)
        under_way = len(sent)
        link.thaw()
        await asyncio.gather(*published)

    assert sum(len(commands) for commands in sent) == 300
    assert (under_way, len(sent)) == (1, 2)


async def test_a_pipeline_is_bounded(broker: RedisChannelBroker) -> None:
    small, big = Publishing(channel(), b""), Publishing(channel(), bytes(64 << 10))
    count = MAX_PIPELINE_BYTES // publishing_size(big) + 1
    with pipelines(broker) as sent:
        await asyncio.gather(*[broker.publish(small) for _ in range(MAX_PIPELINE + 1)])
        await asyncio.gather(*[broker.publish(big) for _ in range(count + 1)])

    assert [len(commands) for commands in sent] == [MAX_PIPELINE, 1, count, 1]


@pytest.mark.parametrize("bound", ["number", "bytes"])
async def test_what_waits_is_bounded(broker: RedisChannelBroker, link: Proxy, bound: str) -> None:
    body = b"" if bound == "number" else bytes(64 << 10)
    publishing = Publishing("x", body)
    most = min(MAX_WAITING, MAX_WAITING_BYTES // publishing_size(publishing))
    assert (most == MAX_WAITING) == (bound == "number")
    link.freeze_answers()
    under_way = broker.publish(publishing)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    waiting = [broker.publish(publishing) for _ in range(most)]
    assert not any(answer.done() for answer in waiting)
    with pytest.raises(BrokerUnavailable, match=f"{most} publications of .* wait for it"):
        await broker.publish(publishing)
    broker.tell("x", body)
    link.thaw()

    await asyncio.gather(under_way, *waiting)
    await broker.publish(publishing)
    assert broker.publications._waiting_bytes == 0


async def test_a_channel_costs_redis_no_more_than_is_documented(
    broker: RedisChannelBroker, own_redis: RedisServer
) -> None:
    def dataset() -> int:
        with own_redis.client() as admin:
            return int(admin.info("memory")["used_memory_dataset"])

    async def each(unit: int, least: float, most: float) -> float:
        """Wait for what it takes since ``before``, for each of so many.

        A table of keys grows by steps, and for that moment there are two of it.
        """
        found = 0.0

        def as_documented() -> bool:
            nonlocal found
            found = (dataset() - before) / unit
            return least < found < most

        try:
            await eventually(as_documented, "what is documented")
        finally:
            print(f"{found:.3f} bytes each")
        return found

    before = dataset()
    names = [f"{n:05}" for n in range(1000)]
    await asyncio.gather(*[broker.read(name, None, KEPT) for name in names])
    meta = await each(len(names), 100, META_BYTES)

    before = dataset()
    keyed = [Publishing("k", b"", idempotency_key=f"{n}" * 1000) for n in range(1000)]
    await asyncio.gather(*[broker.publish(publishing) for publishing in keyed])
    answer = await each(len(keyed), 50, ANSWER_BYTES)

    before, history = dataset(), HistoryOptions(50, 60, 60)
    full = Publishing("full", bytes(64 << 10), history)
    for _ in range(4):
        await asyncio.gather(*[broker.publish(full) for _ in range(25)])
    stream = await each(50 * len(full.body), 0.9, OVERHEAD)

    print(f"meta {meta:.0f} B, answer {answer:.0f} B, stream {stream:.3f} of its bodies")


def _readers(server: RedisServer) -> list[str]:
    """The ids of the connections that bring histories."""
    with server.client() as admin:
        return [one["id"] for one in admin.client_list() if one["name"].endswith(".channels.read")]


async def test_histories_have_a_connection_of_their_own_once_there_are_any(
    broker: RedisChannelBroker, own_redis: RedisServer
) -> None:
    """Whatever becomes of it, publications go on, and the next read makes another."""
    name = channel()
    stored = await broker.publish(Publishing(name, b"1", KEPT))
    assert stored.position is not None
    await broker.page(name, KEPT, limit=0)
    assert not _readers(own_redis)

    pages = await asyncio.gather(*[broker.page(name, KEPT, limit=10) for _ in range(5)])
    assert {page.top for page in pages} == {stored.position}
    [first] = _readers(own_redis)
    with own_redis.client() as admin:
        admin.client_kill_filter(_id=first)
    await eventually(lambda: not _readers(own_redis), "the end of the connection")
    after = await broker.publish(Publishing(name, b"2", KEPT))
    assert after.position == Position(stored.position.epoch, 2)
    await eventually_async(lambda: _paged(broker, name), "a page")
    [second] = _readers(own_redis)
    assert second != first


async def _paged(broker: RedisChannelBroker, name: str) -> bool:
    """Read the first two publications, if the loss of the connection is known by now."""
    try:
        page = await broker.page(name, KEPT, limit=10)
    except BrokerUnavailable:
        return False
    return len(page.publications) == 2


async def test_the_connection_for_histories_ends_with_the_broker(
    own_redis: RedisServer, link: Proxy
) -> None:
    broker = RedisChannelBroker(parse(link.url), prefix="cost")
    async with running(broker, Listener()):
        await until_connected(broker)
        await broker.page(channel(), KEPT, limit=1)
        assert len(_readers(own_redis)) == 1
        late = asyncio.create_task(broker.page(channel(), KEPT, limit=1))
        await asyncio.sleep(0)
    await asyncio.gather(late, return_exceptions=True)
    await eventually(lambda: not _readers(own_redis), "the end of the connection")
