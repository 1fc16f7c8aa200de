"""What the store has: written in batches, the newest state of each, and found when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.channels import presence_waits, stored_presence
from gateway.errors import BrokerUnavailable
from gateway.presence.base import PresenceChange, PresenceStats
from gateway.presence.memory import MemoryPresenceStore
from gateway.protocol.channel_messages import ClientInfo
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from tests.unit.channels.presence_bench import ANN, BOB, Bench


async def test_what_comes_while_a_write_is_under_way_leaves_together(bench: Bench) -> None:
    bench.store.open.clear()
    entered = [bench.presence.enter("room", ANN)]
    await eventually(lambda: len(bench.store.batches) == 1, "the first write")
    entered += [bench.presence.enter("room", ClientInfo("u", f"c{n}")) for n in range(50)]

    bench.store.open.set()
    await asyncio.gather(*entered)

    assert [len(batch) for batch in bench.store.batches] == [1, 50]


async def test_an_outage_fails_who_waits_and_the_newest_state_is_written_afterwards(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.presence.enter("room", BOB)
    monkeypatch.setattr(presence_waits, "REDIS_DEADLINE_S", 0.05)
    bench.store.away = True
    with pytest.raises(BrokerUnavailable):
        await bench.presence.enter("room", ANN)
    assert bench.stored.failing
    with pytest.raises(BrokerUnavailable):
        await bench.presence.leave("room", "b")
    later = ClientInfo("ann", "a", b'{"later":1}')
    with pytest.raises(BrokerUnavailable):
        await bench.presence.enter("room", later)

    bench.store.away = False
    await bench.stored.settled()

    assert await bench.store.members("room") == {"a": later}
    assert not bench.stored.failing


async def test_nothing_grows_by_those_who_come_and_go_in_an_outage(bench: Bench) -> None:
    bench.store.away = True
    for n in range(5000):
        client = ClientInfo("u", f"c{n}")
        bench.presence.enter("room", client)
        bench.presence.leave("room", client.client)
        if n % 100 == 0:
            await asyncio.sleep(0)

    assert len(bench.stored._changes) <= stored_presence.MAX_BATCH
    assert len(bench.presence) == 0


async def test_what_the_store_has_forgotten_is_written_anew(bench: Bench) -> None:
    members = [ClientInfo("u", f"c{n}") for n in range(stored_presence.MAX_BATCH + 500)]
    await asyncio.gather(*(bench.presence.enter("room", one) for one in members))
    bench.store.forget()

    await bench.stored.check()
    await bench.stored.settled()

    assert len(await bench.store.members("room")) == len(members)
    assert await bench.store.stats("room") == PresenceStats(len(members), 1)


async def test_what_is_removed_as_this_worker_leaves_was_not_lost(bench: Bench) -> None:
    """Red when a renewal's answer that comes after it tells of a Redis that forgets."""
    await bench.presence.enter("room", ANN)
    await bench.presence.leave("room", "a")
    await bench.stored.finish()

    with capture_logs() as logs:
        await bench.stored.check()

    assert not logs
    assert not bench.stored.behind


async def test_what_somebody_deletes_in_a_channel_is_found_by_a_look_and_written_again(
    bench: Bench,
) -> None:
    await asyncio.gather(bench.presence.enter("room", ANN), bench.presence.enter("other", BOB))
    await MemoryPresenceStore.write(
        bench.store, bench.me, 1, [PresenceChange("room", "a", None)], upon=range(0)
    )
    written = len(bench.store.batches)

    with capture_logs() as logs:
        bench.stored._to_look_at = ["other"]
        await bench.stored._look()
        assert logs == []
        bench.stored._to_look_at = ["other", "gone", "room"]
        await bench.stored._look()
    await bench.stored.settled()

    assert [(line["event"], line["channel"]) for line in logs] == [("presence lost", "room")]
    assert await bench.store.members("room") == {"a": ANN}
    assert len(bench.store.batches) == written + 1


async def test_a_channel_that_refuses_a_look_is_written_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The revision there is too high, and the next write lowers it. Red when None is passed over:
    a quiet channel is forgotten then.
    """
    await bench.presence.enter("room", ANN)
    written = len(bench.store.batches)

    async def look(*_: object) -> Sequence[int | None]:
        return [None]

    monkeypatch.setattr(bench.store, "look", look)
    bench.stored._to_look_at = ["room"]
    with capture_logs() as logs:
        await bench.stored._look()
    await bench.stored.settled()

    assert [(line["event"], line["found"]) for line in logs] == [("presence lost", None)]
    assert bench.store.batches[written:] == [[PresenceChange("room", "a", ANN)]]


async def test_every_channel_is_looked_at_and_none_while_the_store_lacks_anything(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_presence, "LOOK_AT_ONCE", 2)
    monkeypatch.setattr(stored_presence, "LOOK_PAUSE_S", 0.0)
    monkeypatch.setattr(stored_presence, "LOOK_EVERY_S", 0.01)
    rooms = {f"room{n}" for n in range(5)}
    await asyncio.gather(*(bench.presence.enter(room, ANN) for room in rooms))
    planning = asyncio.create_task(bench.stored._plan_looks())

    await eventually(lambda: bench.store.looked_at == rooms, "a look at each")

    planning.cancel()
    bench.store.away = True
    bench.presence.enter("room0", BOB)
    await eventually(lambda: bench.stored.failing, "a write that fails")
    bench.store.looked_at.clear()
    bench.stored._to_look_at = ["room1"]
    await bench.stored._look()
    assert bench.store.looked_at == set()


async def test_a_write_finds_out_that_one_before_it_was_lost(bench: Bench) -> None:
    await bench.presence.enter("room", ANN)
    bench.store.forget()

    await bench.presence.enter("room", BOB)
    await bench.stored.settled()

    assert set(await bench.store.members("room")) == {"a", "b"}


async def test_who_has_left_and_is_there_again_after_a_loss_is_taken_away(bench: Bench) -> None:
    await bench.presence.enter("room", BOB)
    await bench.presence.enter("room", ANN)
    await bench.presence.leave("room", "a")
    bench.store.forget()
    await MemoryPresenceStore.write(
        bench.store, bench.me, 1, [PresenceChange("room", "a", ANN)], upon=None
    )

    await bench.stored.check()
    await bench.stored.settled()

    assert set(await bench.store.members("room")) == {"b"}


async def test_nothing_is_written_once_others_have_taken_over(bench: Bench) -> None:
    bench.stored.seal()
    entered = bench.presence.enter("room", ANN)
    await asyncio.sleep(0.01)

    assert bench.store.batches == []
    assert not entered.done()
