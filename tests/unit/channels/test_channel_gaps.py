"""What a worker has missed of a channel: found, told, counted, and looked for in silence."""

from __future__ import annotations

import pytest

from gateway.errors import BrokerUnavailable
from gateway.protocol.channel_position import Position
from gateway.protocol.channel_steps import Step, Wish
from gateway.protocol.recovery import History
from gateway.protocol.worker_channel import LOOK_S
from tests.unit.channels.recording import POSITIONED, live, stand
from tests.unit.channels.scripted_broker import turn


async def test_a_gap_is_told_to_who_has_a_position_and_counted() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "kept:a")
        bob = await live(s, "bob", "kept:a", Wish())
        s.broker.put("kept:a")
        s.broker.lose()
        s.broker.cut = False
        s.broker.put("kept:a")
        await s.broker.settle_down()

        assert ann.told == [("insufficient", "kept:a")]
        assert not s.channels.channels_of(ann.id)
        assert bob.delivered == [b'kept:a 2 "epoch1 2"']
        assert s.counters.channel_gaps == {"gap": 1}


async def test_after_a_resync_the_channel_is_compared_with_the_top() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "kept:a")
        s.broker.lose()
        s.broker.put("kept:a")
        s.broker.restore()
        await s.broker.settle_down()

        assert ann.told == [("insufficient", "kept:a")]


async def test_a_resync_of_a_channel_that_keeps_nothing_is_counted() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "news")
        s.broker.lose()
        s.broker.restore()
        await s.broker.settle_down()

        assert s.counters.channel_gaps == {"unknown": 1}
        assert s.counters.channel_resyncs == 1
        assert s.channels.is_live(ann.id, "news")


async def test_a_resync_whose_read_fails_is_looked_at_until_it_is_known() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "kept:a")
        s.broker.lose()
        s.broker.put("kept:a")
        s.broker.restore()
        await turn()
        for wait_s in (1.0, 2.0, 4.0):
            assert s.broker.fail_read()
            await turn()
            s.later(wait_s - 0.01)
            await turn()
            assert not s.broker.reads
            s.later(0.01)
            await turn()
            assert s.broker.reads
        await s.broker.settle_down()

        assert ann.told == [("insufficient", "kept:a")]


async def test_a_silent_channel_is_looked_at_and_one_that_is_heard_is_not() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "kept:silent")
        bob = await live(s, "bob", "kept:heard")
        s.broker.lose()
        s.broker.cut = False
        s.broker.streams["kept:silent"].top = Position("epoch1", 7)
        for _ in range(2):
            s.later(LOOK_S / 2 - 1)
            s.broker.put("kept:heard")
            await s.broker.settle_down()
        s.later(2)
        await turn()
        assert [asked.channel for asked in s.broker.reads] == ["kept:silent"]
        await s.broker.settle_down()
        assert not bob.told
        assert ann.told == [("insufficient", "kept:silent")]


async def test_what_could_not_be_settled_is_no_gap() -> None:
    """A resync follows, and looks again."""
    async with stand() as s:
        ann = await live(s, "ann", "kept:a")
        s.broker.put("kept:a")
        s.later(LOOK_S)
        await turn()
        s.broker.look_up()
        s.broker.answer()
        await turn()
        [*_, settling] = s.broker.settling
        settling.set_exception(BrokerUnavailable("away"))
        await turn()
        assert not ann.told

        await s.broker.settle_down()
        assert ann.delivered == [b'kept:a 1 "epoch1 1"']


async def test_only_so_many_reads_are_under_way_and_those_first_for_which_somebody_waits() -> None:
    async with stand() as s:
        for number in range(100):
            await live(s, f"c{number}", f"kept:{number}")
        s.broker.lose()
        s.broker.restore()
        await turn()
        assert len(s.broker.reads) == 16

        ann = s.recording("ann")
        s.channels.subscribe(ann, "kept:new", POSITIONED)
        await turn()
        s.broker.serve()
        s.broker.deliver()
        await turn()
        s.broker.look_up()
        s.broker.answer()
        await turn()
        assert s.broker.reads[-1].channel == "kept:new"
        await s.broker.settle_down()
        assert not s.channels._steps._reads._tasks


async def test_a_channel_that_fails_at_a_resync_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stand() as s:
        for channel in ("kept:a", "kept:b"):
            await live(s, "ann", channel)

        def fails() -> list[Step]:
            raise RuntimeError

        monkeypatch.setattr(s.channels._channels["kept:a"].machine, "resync", fails)
        s.channels.on_resync(["kept:a", "kept:b"])
        await turn()

        assert [asked.channel for asked in s.broker.reads] == ["kept:b"]


async def test_an_event_that_fails_keeps_no_other_back() -> None:
    """Red where what it raises goes up: what had queued behind it waited for the next event."""
    async with stand() as s:
        await live(s, "ann", "kept:a")
        local, steps = s.channels._channels["kept:a"], s.channels._steps
        taken = []

        def broken() -> list[Step]:
            raise RuntimeError("a rule is wrong")

        def following() -> list[Step]:
            taken.append("following")
            return []

        def first() -> list[Step]:
            steps.happen(local, broken)
            steps.happen(local, following)
            return []

        steps.happen(local, first)

        assert taken == ["following"]
        assert not local.busy


async def test_who_waits_for_a_read_that_fails_by_a_fault_waits_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stand() as s:
        await live(s, "ann", "kept:a")
        s.broker.put("kept:a")
        await s.broker.settle_down()
        machine = s.channels._channels["kept:a"].machine

        def fails(number: int, history: History) -> list[Step]:
            monkeypatch.undo()
            raise RuntimeError("a rule is wrong")

        monkeypatch.setattr(machine, "read", fails)
        bob = s.recording("bob")
        missed = Wish(positioned=True, since=Position("epoch1", 0))
        s.channels.subscribe(bob, "kept:a", missed, join_leave=False)
        await s.broker.settle_down()
        assert not bob.told
        s.later(1.0)
        await s.broker.settle_down()

        assert [kind for kind, *_ in bob.told] == ["subscribed"]
