"""What a worker believes when the clock of Redis is set."""

from __future__ import annotations

import pytest

from tests.unit.protocol.test_members import BOTH, RENEWAL_S, A, leases, look, shown, trusting


@pytest.mark.parametrize("step_s", [12.0, 60.0, 86_400.0, 0.6])
def test_the_living_are_not_believed_dead_when_the_clock_of_redis_is_set_forward(
    step_s: float,
) -> None:
    """Red where only Redis' own time is looked at: all leases have ended by it."""
    it, now = trusting(leases({A: BOTH}))

    changes = look(it, leases({A: BOTH}), now + RENEWAL_S, ahead_s=step_s)

    assert not changes.lapsed
    assert A in it.known
    assert not it.trusted(now + RENEWAL_S)


def test_a_clock_that_was_set_back_ends_trust_too() -> None:
    it, now = trusting(leases({A: BOTH}))

    look(it, leases({A: BOTH}), now + RENEWAL_S, ahead_s=-60.0)

    assert not it.trusted(now + RENEWAL_S)


def test_trust_comes_back_a_lease_after_the_clock_was_set() -> None:
    it, now = trusting(leases({A: BOTH}))
    steps = [now + RENEWAL_S * count for count in range(1, 6)]

    for at in steps:
        changes = look(it, leases(lapsed={A: BOTH}), at, ahead_s=60.0)

    assert it.trusted(steps[-1])
    assert changes.lapsed == [A]


def test_a_clock_that_is_slewed_keeps_trust() -> None:
    it, now = trusting(leases({A: BOTH}))

    for count in range(1, 9):
        look(it, leases({A: BOTH}), now + RENEWAL_S * count, ahead_s=0.4 * count)

    assert it.trusted(now + RENEWAL_S * 8)


def test_an_answer_that_took_long_says_no_more_of_the_clock_than_it_can() -> None:
    it, now = trusting(leases({A: BOTH}))
    at = now + RENEWAL_S

    it.renewed(shown(leases({A: BOTH}), at + 2.0), asked_at=at, now=at + 3.0)
    assert it.trusted(at + 3.0)

    look(it, leases({A: BOTH}), at + 6.0, ahead_s=2.5)
    assert not it.trusted(at + 6.0)
