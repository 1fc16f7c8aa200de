"""Who says that it has come: when it is believed, and when leases decide."""

from __future__ import annotations

import pytest

from gateway.protocol.ids import WorkerId
from tests.unit.protocol.test_members import BOTH, B, leases, look, members, shown, trusting


def test_a_worker_that_says_it_has_come_is_known_by_that() -> None:
    it = members()
    generation = it.generation

    assert it.arrived(B, BOTH, now=101.0)
    assert it.known[B] == BOTH
    assert B in it.handlers
    assert it.generation == generation + 1

    assert it.arrived(B, BOTH, now=102.0)  # which is no change
    assert it.generation == generation + 1


@pytest.mark.parametrize("how", ["said so", "absent"])
def test_what_is_said_of_the_coming_of_one_that_has_gone_may_be_old(how: str) -> None:
    """Red where a worker that was fenced before others heard of it is given messages."""
    it, now = trusting(leases({B: BOTH}))
    if how == "said so":
        it.gone(B, now=now)
    else:
        look(it, leases(), now)

    assert not it.arrived(B, BOTH, now=now)
    assert B not in it.known


def test_of_those_that_have_gone_the_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.protocol.members.MAX_DEPARTED", 1)
    it = members()
    it.gone(B, now=101.0)
    it.gone(WorkerId("z" * 16), now=101.0)

    assert not it.arrived(WorkerId("z" * 16), BOTH, now=102.0)
    assert it.arrived(B, BOTH, now=102.0)


def test_leases_that_were_asked_for_before_an_arrival_do_not_end_it_and_later_ones_do() -> None:
    it, now = trusting(leases())
    it.arrived(B, BOTH, now=now + 0.2)
    shown_late = it.renewed(shown(leases(), now + 0.1), asked_at=now + 0.1, now=now + 0.3)
    assert not shown_late.gone
    assert B in it.known

    assert look(it, leases(), now + 1.0).gone == [B]
