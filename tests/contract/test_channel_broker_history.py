"""The guarantees of ``gateway.channel_broker.base`` about history, on every implementation."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.channel_broker.base import HistoryOptions, Publishing
from gateway.errors import UnrecoverablePosition
from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import MAX_READ
from tests.contract.channel_brokers import KEPT, Listener, Running, channel, publish, said
from tests.support.waiting import eventually, eventually_async

BRIEF = HistoryOptions(size=100, ttl_s=1, meta_ttl_s=60)
VERY_BRIEF = HistoryOptions(size=100, ttl_s=1, meta_ttl_s=1)


async def test_a_channel_that_is_read_first_begins_there(channel_brokers: Running) -> None:
    one, two = await channel_brokers(Listener()), await channel_brokers(Listener())
    name = channel()

    top = (await one.read(name, None, KEPT)).top

    assert top.offset == 0
    assert (await two.read(name, None, KEPT)).top == top
    stored = await two.publish(Publishing(name, b"first", KEPT))
    assert stored.position == (top.epoch, 1)


async def test_a_read_has_what_came_after_an_offset(channel_brokers: Running) -> None:
    broker, name = await channel_brokers(Listener()), channel()
    stored = await said(broker, name, 5)

    history = await broker.read(name, 3, KEPT)

    assert history.top == stored[-1].position
    assert list(history.publications) == [(4, b"4"), (5, b"5")]
    assert not (await broker.read(name, 5, KEPT)).publications
    assert not (await broker.read(name, 99, KEPT)).publications
    assert not (await broker.read(name, None, KEPT)).publications


async def test_a_read_has_the_newest_as_many_as_it_may(channel_brokers: Running) -> None:
    broker, name = await channel_brokers(Listener()), channel()
    options = HistoryOptions(MAX_READ + 50, 60, 60)
    publishing = Publishing(name, b"", options)
    await asyncio.gather(*[broker.publish(publishing) for _ in range(MAX_READ + 20)])

    history = await broker.read(name, 5, options)

    offsets = [publication.offset for publication in history.publications]
    assert offsets == list(range(21, MAX_READ + 21))


async def test_only_the_newest_are_kept(channel_brokers: Running) -> None:
    broker, name = await channel_brokers(Listener()), channel()
    options = HistoryOptions(size=3, ttl_s=60, meta_ttl_s=60)
    for n in range(1, 8):
        await broker.publish(Publishing(name, b"%d" % n, options))
        kept = (await broker.read(name, 0, options)).publications
        assert [one.offset for one in kept] == list(range(max(1, n - 2), n + 1))


async def test_publications_expire_and_offsets_go_on(channel_brokers: Running) -> None:
    broker, name = await channel_brokers(Listener()), channel()
    first = await broker.publish(Publishing(name, b"", BRIEF))
    assert first.position is not None

    async def expired() -> bool:
        history = await broker.read(name, 0, BRIEF)
        assert history.top == first.position
        return not history.publications

    await eventually_async(expired, "the end of the publications")
    second = await broker.publish(Publishing(name, b"", KEPT))
    assert second.position == (first.position.epoch, 2)
    kept = (await broker.read(name, 0, KEPT)).publications
    assert [one.offset for one in kept] == [2]


async def test_another_epoch_begins_when_the_meta_ttl_is_over(channel_brokers: Running) -> None:
    broker, name, other = await channel_brokers(Listener()), channel(), channel()
    first = await broker.publish(Publishing(name, b"", VERY_BRIEF))
    assert first.position is not None
    await broker.publish(Publishing(other, b"", HistoryOptions(100, 2, 2)))

    async def gone() -> bool:
        return not (await broker.read(other, 0, HistoryOptions(100, 2, 2))).publications

    await eventually_async(gone, "two seconds of Redis")
    second = await broker.publish(Publishing(name, b"", KEPT))
    assert second.position is not None
    assert second.position.epoch != first.position.epoch
    assert second.position.offset == 1
    assert len((await broker.read(name, 0, KEPT)).publications) == 1


async def test_who_reads_keeps_the_epoch(channel_brokers: Running) -> None:
    broker, name, other = await channel_brokers(Listener()), channel(), channel()
    asked_at = time.monotonic()
    top = (await broker.publish(Publishing(name, b"", VERY_BRIEF))).position
    await broker.publish(Publishing(other, b"", HistoryOptions(100, 2, 60)))

    async def gone() -> bool:
        nonlocal asked_at, top
        before, asked_at = asked_at, time.monotonic()
        found = (await broker.read(name, None, VERY_BRIEF)).top
        if time.monotonic() - before < VERY_BRIEF.meta_ttl_s:  # else this reader came too late
            assert found == top
        top = found
        return not (await broker.read(other, 0, HistoryOptions(100, 2, 60))).publications

    await eventually_async(gone, "two seconds of Redis")


async def test_pages_go_both_ways(channel_brokers: Running) -> None:
    broker, name = await channel_brokers(Listener()), channel()
    stored = await said(broker, name, 10)
    top = stored[-1].position
    assert top is not None

    async def offsets(limit: int, since: int | None = None, *, reverse: bool = False) -> list[int]:
        at = None if since is None else Position(top.epoch, since)
        page = await broker.page(name, KEPT, limit=limit, since=at, reverse=reverse)
        assert page.top == top
        assert all(one.payload == b"%d" % one.offset for one in page.publications)
        return [one.offset for one in page.publications]

    assert await offsets(4) == [1, 2, 3, 4]
    assert await offsets(4, 4) == [5, 6, 7, 8]
    assert await offsets(4, 8) == [9, 10]
    assert await offsets(4, 10) == []
    assert await offsets(4, 11) == []
    assert await offsets(4, 0) == [1, 2, 3, 4]
    assert await offsets(4, reverse=True) == [10, 9, 8, 7]
    assert await offsets(4, 7, reverse=True) == [6, 5, 4, 3]
    assert await offsets(4, 3, reverse=True) == [2, 1]
    assert await offsets(4, 1, reverse=True) == []
    assert await offsets(4, 0, reverse=True) == []
    assert await offsets(4, 99, reverse=True) == [10, 9, 8, 7]
    assert await offsets(0) == []
    assert await offsets(0, 4, reverse=True) == []


async def test_a_page_is_no_longer_than_a_read(channel_brokers: Running) -> None:
    broker, name = await channel_brokers(Listener()), channel()
    options = HistoryOptions(MAX_READ + 50, 60, 60)
    publishing = Publishing(name, b"", options)
    await asyncio.gather(*[broker.publish(publishing) for _ in range(MAX_READ + 20)])

    assert len((await broker.page(name, options, limit=10**9)).publications) == MAX_READ


async def test_a_page_of_another_epoch_cannot_be_had(channel_brokers: Running) -> None:
    broker, name = await channel_brokers(Listener()), channel()
    await said(broker, name, 2)

    with pytest.raises(UnrecoverablePosition):
        await broker.page(name, KEPT, limit=10, since=Position("gone", 1))
    any_epoch = await broker.page(name, KEPT, limit=10, since=Position("", 1))
    assert [one.offset for one in any_epoch.publications] == [2]


async def test_a_removed_history_is_gone_and_offsets_go_on(channel_brokers: Running) -> None:
    broker, name = await channel_brokers(Listener()), channel()
    stored = await said(broker, name, 3)

    await broker.remove_history(name)
    await broker.remove_history(channel())

    history = await broker.read(name, 0, KEPT)
    assert history.top == stored[-1].position
    assert not history.publications
    after = await publish(broker, name, b"4")
    assert after.position == (history.top.epoch, 4)
    assert list((await broker.read(name, 0, KEPT)).publications) == [(4, b"4")]


@pytest.mark.parametrize("history", [KEPT, None])
async def test_the_same_idempotency_key_publishes_once(
    channel_brokers: Running, history: HistoryOptions | None
) -> None:
    listener, name, other = Listener(), channel(), channel()
    one, two = await channel_brokers(listener), await channel_brokers(Listener())
    await asyncio.gather(one.subscribe(name), one.subscribe(other))
    publishing = Publishing(name, b"once", history, idempotency_key="key }")

    first = await one.publish(publishing)
    again = await asyncio.gather(two.publish(publishing), one.publish(publishing))
    elsewhere = await one.publish(publishing._replace(channel=other))
    another = await two.publish(publishing._replace(idempotency_key="key2", body=b"two"))

    assert not first.suppressed
    assert list(again) == [first._replace(suppressed=True)] * 2
    assert not elsewhere.suppressed
    assert not another.suppressed
    await eventually(lambda: len(listener.got) == 3, "3 messages")
    assert sorted(listener.bodies(name)) == [b"once", b"two"]
    if history is not None:
        assert first.position is not None
        assert another.position == (first.position.epoch, 2)


async def test_an_older_version_is_not_published(channel_brokers: Running) -> None:
    listener, name = Listener(), channel()
    broker = await channel_brokers(listener)
    await broker.subscribe(name)

    async def version(number: int, epoch: str = "") -> bool:
        body = f"{number}{epoch}".encode()
        publishing = Publishing(name, body, KEPT, version=number, version_epoch=epoch)
        return not (await broker.publish(publishing)).suppressed

    assert [await version(n) for n in (5, 5, 4, 6, 1)] == [True, False, False, True, False]
    assert not (await broker.publish(Publishing(name, b"none", KEPT))).suppressed
    assert [await version(6), await version(7)] == [False, True]
    assert [await version(1, "b"), await version(1, "b"), await version(2, "b")] == [
        True, False, True,
    ]  # fmt: skip
    assert await version(1)

    await eventually(lambda: listener.offsets(name) == [1, 2, 3, 4, 5, 6, 7], "7 messages")
    assert listener.bodies(name) == [b"5", b"6", b"none", b"7", b"1b", b"2b", b"1"]


async def test_a_suppressed_version_keeps_no_answer_for_its_key(channel_brokers: Running) -> None:
    broker, name = await channel_brokers(Listener()), channel()
    await broker.publish(Publishing(name, b"", KEPT, version=5))
    old = Publishing(name, b"", KEPT, version=4, idempotency_key="k")
    assert (await broker.publish(old)).suppressed
    assert not (await broker.publish(old._replace(version=6))).suppressed


@pytest.mark.parametrize("name", ["a", "a}", "{a}", "a}:meta", "a b ~!{*?[", "x" * 255])
async def test_no_name_meets_another_ones_keys(channel_brokers: Running, name: str) -> None:
    broker = await channel_brokers(Listener())
    await broker.remove_history(name)
    before = (await broker.read(name, None, KEPT)).top.offset

    stored = await said(broker, name, 2)

    assert [one.position.offset - before for one in stored if one.position] == [1, 2]
    assert [one.payload for one in (await broker.read(name, before, KEPT)).publications] == [
        b"1", b"2",
    ]  # fmt: skip
