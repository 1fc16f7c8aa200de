"""Members at a master of a Cluster that is away: set apart, and written later."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from gateway.channels import stored_presence
from gateway.errors import BrokerUnavailable
from gateway.presence.base import Page
from gateway.protocol.channel_messages import ClientInfo, MessageKind
from gateway.protocol.ids import WorkerId
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from tests.unit.channels.presence_bench import ANN, BOB, Bench


async def test_members_elsewhere_go_on_while_a_master_is_away_and_none_is_forgotten(
    bench: Bench,
) -> None:
    """Red when what one master does not take fails the rest of its batch."""
    await bench.presence.enter("there", BOB)
    bench.store.channels_away = {"there"}
    with capture_logs() as logs:
        entering = bench.presence.enter("there", ANN)
        leaving = bench.presence.leave("there", "b")
        for n in range(3):
            await bench.presence.enter("here", ClientInfo("u", f"c{n}"))
            await eventually(lambda: bench.stored._left, "what is left")
        await bench.presence.leave("here", "c0")
        assert set(await bench.store.members("here")) == {"c1", "c2"}
        assert not entering.done()
        assert not leaving.done()
        assert bench.stored.failing

        bench.store.channels_away = set()
        await asyncio.gather(entering, leaving)

    assert await bench.store.members("there") == {"a": ANN}
    await bench.stored.settled()
    assert not bench.stored.failing
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
        "presence not written"
    ]


async def test_who_comes_and_goes_where_a_master_is_away_leaves_nothing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer state takes the place of what is left. Red when that is tried again: it would remove
    who has come since.
    """
    monkeypatch.setattr(stored_presence, "LEFT_AGAIN_S", 60.0)
    bench.store.channels_away = {"there"}
    bench.presence.enter("there", ANN)
    await eventually(lambda: bench.stored._left, "what is left")
    bench.store.channels_away = set()

    async with asyncio.timeout(5.0):
        await bench.presence.leave("there", "a")
        await bench.stored.settled()

    assert await bench.store.members("there") == {}
    assert bench.stored.members.channels == []


async def test_channels_elsewhere_are_looked_at_while_a_master_is_away(bench: Bench) -> None:
    """Their keys have to live on. Red when what is left of one channel stops all looks."""
    await asyncio.gather(*(bench.presence.enter(room, ANN) for room in ("here", "there", "quiet")))
    bench.store.channels_away = {"there", "quiet"}
    bench.presence.enter("there", BOB)
    await eventually(lambda: bench.stored._left, "what is left")
    bench.stored._to_look_at = ["here", "there", "quiet"]

    with capture_logs() as logs:
        await bench.stored._look()

    assert bench.store.looked_at == {"here", "quiet"}
    assert "presence lost" not in {line["event"] for line in logs}


async def test_a_loss_is_made_good_elsewhere_while_a_master_is_away(bench: Bench) -> None:
    """And who is there and has left is found at that master when it is back. Red when nobody is
    written before all channels were compared.
    """
    await asyncio.gather(*(bench.presence.enter(room, BOB) for room in ("here", "there")))
    bench.store.forget()
    for room in ("here", "there"):
        bench.store.bring_back(bench.me, room, ANN)
    bench.store.channels_away = {"there"}

    await bench.stored.check()
    await eventually(lambda: bench.stored._left, "what is left")
    here = bench.store._channels["here"][bench.me]
    await eventually(lambda: set(here) == {"b"}, "who is there")
    assert bench.stored.behind
    bench.store.channels_away = set()
    await bench.stored.settled()

    assert set(await bench.store.members("there")) == {"b"}


async def test_channels_elsewhere_are_looked_at_after_a_loss_while_a_master_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when looks wait until all are compared: while that master was away, what was deleted at
    the others stayed so, and after ``PRESENCE_S`` all that was quiet there was.
    """
    monkeypatch.setattr(stored_presence, "LEFT_AGAIN_S", 0.01)
    await asyncio.gather(*(bench.presence.enter(room, BOB) for room in ("here", "there")))
    bench.store.forget()
    bench.store.bring_back(bench.me, "here", ANN)
    bench.store.channels_away = {"there"}
    await bench.stored.check()
    await eventually(lambda: "here" in bench.stored._compared, "what was compared")
    here = bench.store._channels["here"][bench.me]
    await eventually(lambda: set(here) == {"b"}, "who is there")
    assert bench.stored._comparing

    with capture_logs() as logs:
        bench.stored._to_look_at = ["here", "there"]
        await bench.stored._look()

    assert bench.store.looked_at == {"here"}
    assert "presence lost" not in {line["event"] for line in logs}
    bench.store.channels_away = set()
    await bench.stored.settled()


async def test_all_members_are_read_less_and_less_often_while_a_master_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All masters answer that. Red when it is done once a second for as long as one is away."""
    monkeypatch.setattr(stored_presence, "LEFT_AGAIN_S", 0.01)
    monkeypatch.setattr(stored_presence, "LONGEST_COMPARE_S", 0.04)
    await asyncio.gather(*(bench.presence.enter(room, BOB) for room in ("here", "there")))
    bench.store.forget()
    bench.store.channels_away = {"there"}
    read_at: list[float] = []
    pages_of = bench.store.pages_of

    def noted(worker: WorkerId) -> AsyncIterator[Page]:
        read_at.append(asyncio.get_running_loop().time())
        return pages_of(worker)

    monkeypatch.setattr(bench.store, "pages_of", noted)
    await bench.stored.check()
    await eventually(lambda: len(read_at) == 5, "five readings")
    bench.store.channels_away = set()
    await bench.stored.settled()

    pauses = [after - before for before, after in itertools.pairwise(read_at[:5])]
    for pause_s, shortest_s in zip(pauses, (0.01, 0.02, 0.04, 0.04), strict=True):
        assert pause_s > 0.9 * shortest_s


async def test_what_was_compared_before_another_loss_is_not_compared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stray would count at a look. Red when that look finds a loss in each round, and all is
    written again.
    """
    monkeypatch.setattr(stored_presence, "LEFT_AGAIN_S", 60.0)
    await asyncio.gather(*(bench.presence.enter(room, BOB) for room in ("here", "there")))
    read, go_on = asyncio.Event(), asyncio.Event()

    async def pages_of(_worker: WorkerId) -> AsyncIterator[Page]:
        yield Page(["here"], [])
        read.set()
        await go_on.wait()
        raise BrokerUnavailable("away")

    monkeypatch.setattr(bench.store, "pages_of", pages_of)
    bench.store.forget()
    await bench.stored.check()
    async with asyncio.timeout(5.0):
        await read.wait()
    bench.store.forget()
    bench.store.bring_back(bench.me, "here", ANN)
    writes = len(bench.store.batches)
    await bench.stored.check()
    await eventually(lambda: len(bench.store.batches) > writes, "all is written again")
    await eventually(lambda: not bench.stored._unwritten, "all is written")
    go_on.set()
    for _ in range(5):
        await asyncio.sleep(0)

    with capture_logs() as logs:
        bench.stored._to_look_at = ["here"]
        await bench.stored._look()

    assert bench.stored._comparing
    assert "presence lost" not in {line["event"] for line in logs}


async def test_who_enters_while_it_is_taken_for_a_stray_is_told(bench: Bench) -> None:
    """Its removal may be read of before it is written. Red when it stays one that is not told."""
    bench.store.open.clear()
    bench.stored._remove_if_stray("room", ANN)
    entering = bench.presence.enter("room", ANN)
    bench.store.open.set()
    await entering
    bench.presence.joined("room", "a")
    await bench.presence.leave("room", "a")

    assert [kind for _, kind, _ in bench.told] == [MessageKind.JOIN, MessageKind.LEAVE]
