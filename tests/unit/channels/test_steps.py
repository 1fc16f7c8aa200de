"""Faults in what a channel is to do: whoever waits for it is told, and keeps no other waiting."""

from __future__ import annotations

from typing import NoReturn

import pytest

from gateway.errors import BrokerUnavailable
from gateway.protocol.worker_channel import WorkerChannel
from tests.unit.channels.recording import live, stand


@pytest.mark.parametrize("channel", ["news", "kept:a"])
async def test_who_waits_for_a_subscription_that_fails_by_a_fault_is_told_and_may_come_again(
    monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    async with stand() as s:

        def fails(_: str) -> NoReturn:
            raise RuntimeError("nobody has expected this")

        ann, bob = s.recording("ann"), s.recording("bob")
        with monkeypatch.context() as broken:
            broken.setattr(s.broker, "subscribe", fails)
            s.channels.subscribe(ann, channel)
        s.channels.subscribe(bob, channel)
        assert ann.told == [("not subscribed", channel, BrokerUnavailable)]
        s.channels.subscribe(ann, channel)
        await s.broker.settle_down()

        assert [each.told[-1][0] for each in (ann, bob)] == ["subscribed"] * 2


@pytest.mark.parametrize("rule", ["join", "acknowledged", "_answer"])
async def test_who_waits_where_nothing_is_kept_is_refused_when_a_rule_fails(
    monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    async with stand() as s:

        def fails(*_: object) -> NoReturn:
            raise RuntimeError("a rule is wrong")

        ann, bob = s.recording("ann"), s.recording("bob")
        with monkeypatch.context() as broken:
            broken.setattr(WorkerChannel, rule, fails)
            s.channels.subscribe(ann, "news")
            await s.broker.settle_down()
        assert ann.told == [("not subscribed", "news", BrokerUnavailable)]
        s.channels.subscribe(bob, "news")
        await s.broker.settle_down()

        assert [kind for kind, *_ in bob.told] == ["subscribed"]
        assert s.channels.subscriptions == 1


async def test_whoever_fails_at_being_told_of_a_gap_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stand() as s:
        ann, bob = await live(s, "ann", "kept:a"), await live(s, "bob", "kept:a")

        def fails(_: str) -> NoReturn:
            raise RuntimeError

        monkeypatch.setattr(ann, "insufficient", fails)
        s.broker.lose_stream("kept:a")
        s.broker.put("kept:a")
        await s.broker.settle_down()

        assert bob.told == [("insufficient", "kept:a")]
        assert not s.channels.subscriptions
