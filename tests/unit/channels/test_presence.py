"""Who enters and leaves: who sees it when, and what is told in which order."""

from __future__ import annotations

import asyncio

import pytest

from gateway.presence.base import PresenceChange, PresenceStats
from gateway.protocol.channel_messages import MessageKind
from gateway.settings.namespaces import ChannelOptions
from tests.support.waiting import eventually
from tests.unit.channels.presence_bench import ANN, BOB, Bench


async def test_who_enters_is_seen_once_it_is_done(bench: Bench) -> None:
    await bench.presence.enter("room", ANN)

    assert await bench.store.members("room") == {"a": ANN}
    assert await bench.store.stats("room") == PresenceStats(1, 1)
    assert len(bench.presence) == 1


async def test_who_has_come_and_gone_before_a_write_leaves_nothing_behind(bench: Bench) -> None:
    bench.may_write = False
    entered = bench.presence.enter("room", ANN)

    await bench.presence.leave("room", "a")

    await entered
    bench.may_write = True
    await bench.presence.enter("room", BOB)
    assert bench.store.batches == [[PresenceChange("room", "b", BOB)]]
    assert len(bench.presence) == 1


async def test_who_leaves_while_it_is_written_is_taken_away_after_it(bench: Bench) -> None:
    bench.store.open.clear()
    entered = bench.presence.enter("room", ANN)
    await eventually(lambda: bool(bench.store.batches), "the write")

    left = bench.presence.leave("room", "a")
    bench.store.open.set()
    await asyncio.gather(entered, left)

    assert await bench.store.members("room") == {}


async def test_join_and_leave_come_in_order_and_the_leave_after_the_store_knows(
    bench: Bench,
) -> None:
    await bench.presence.enter("room", ANN)
    bench.presence.joined("room", "a")
    bench.store.open.clear()
    bench.presence.leave("room", "a")
    again = bench.presence.enter("room", ANN)
    await asyncio.sleep(0)
    before = list(bench.told)

    bench.store.open.set()
    await again
    bench.presence.joined("room", "a")
    await bench.presence.leave("room", "a")
    await eventually(lambda: len(bench.told) == 4, "the last leave")

    assert before == [("room", MessageKind.JOIN, "a")]
    kinds = [kind for _, kind, _ in bench.told]
    assert kinds == [MessageKind.JOIN, MessageKind.LEAVE] * 2


async def test_who_never_joined_leaves_in_silence(bench: Bench) -> None:
    await bench.presence.enter("room", ANN)
    await bench.presence.leave("room", "a")
    await bench.presence.leave("room", "a")

    assert bench.told == []


@pytest.mark.parametrize("bench", [ChannelOptions(join_leave=True)], indirect=True)
async def test_joins_are_told_where_no_presence_is_kept(bench: Bench) -> None:
    await bench.presence.enter("room", ANN)
    bench.presence.joined("room", "a")
    await bench.presence.leave("room", "a")

    assert [kind for _, kind, _ in bench.told] == [MessageKind.JOIN, MessageKind.LEAVE]
    assert bench.store.batches == []


@pytest.mark.parametrize("bench", [ChannelOptions()], indirect=True)
async def test_without_the_options_nothing_is_kept_or_told(bench: Bench) -> None:
    await bench.presence.enter("room", ANN)
    bench.presence.joined("room", "a")
    await bench.presence.leave("room", "a")

    assert (bench.told, bench.store.batches) == ([], [])
