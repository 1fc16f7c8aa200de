"""Whether Redis' clock was set: at exactly what it may drift, and as far as one can know."""

from __future__ import annotations

import pytest

from gateway.protocol.redis_clock import RedisClock


def looked(*, asked_at: float = 100.0, now: float = 100.0) -> RedisClock:
    """After the first look, at 1000 s there and ``asked_at`` to ``now`` here."""
    clock = RedisClock(drift_s=0.5)
    assert not clock.stepped(1000.0, asked_at=asked_at, now=now)
    return clock


@pytest.mark.parametrize(("by_s", "set_"), [(0.5, False), (-0.5, False), (0.6, True), (-0.6, True)])
def test_what_it_may_drift_is_no_step(by_s: float, set_: bool) -> None:
    assert looked().stepped(1003.0 + by_s, asked_at=103.0, now=103.0) is set_


def test_a_step_is_told_once() -> None:
    clock = looked()

    assert clock.stepped(1063.0, asked_at=103.0, now=103.0)
    assert not clock.stepped(1066.0, asked_at=106.0, now=106.0)


def test_within_a_slow_answer_it_may_have_been_read_at_any_time() -> None:
    assert not looked().stepped(1005.0, asked_at=103.0, now=106.0)
    assert not looked(asked_at=98.0, now=100.0).stepped(1005.0, asked_at=103.0, now=103.0)


def test_a_slow_answer_forgets_nothing_of_what_was_known() -> None:
    """Red where each answer is believed for what it says alone."""
    clock = looked()

    assert not clock.stepped(1004.0, asked_at=103.0, now=106.0)
    assert clock.stepped(1008.0, asked_at=106.0, now=106.0)
