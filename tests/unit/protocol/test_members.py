"""Who lives: what is believed at once, what only after a lease of trust, and what never."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.members import Changes, Members

ME = WorkerId("m" * 16)
A = WorkerId("a" * 16)
B = WorkerId("b" * 16)
BOTH = WorkerInfo(edge=True, handler=True)
EDGE = WorkerInfo(edge=True, handler=False)
LEASE_S = 10.0
RENEWAL_S = 3.0
NOW_MS = 1_000_000
LIVES_MS = NOW_MS + 9_000


def members(info: WorkerInfo = BOTH) -> Members:
    return Members(ME, info, lease_s=LEASE_S, now=100.0)


def leases(
    living: dict[WorkerId, WorkerInfo] | None = None,
    *,
    lapsed: dict[WorkerId, WorkerInfo] | None = None,
    fenced: set[WorkerId] | None = None,
) -> Leases:
    workers = {worker: (LIVES_MS, info) for worker, info in (living or {}).items()}
    workers |= {worker: (NOW_MS, info) for worker, info in (lapsed or {}).items()}
    return Leases(NOW_MS, workers, fenced or set())


def shown(view: Leases, at: float, *, ahead_s: float = 0.0) -> Leases:
    """The same view at another moment: Redis' clock goes with ours, or was set ahead."""
    past_ms = round((at - 100.0) * 1000)
    workers = {worker: (end + past_ms, info) for worker, (end, info) in view.workers.items()}
    return replace(view, now_ms=view.now_ms + past_ms + round(ahead_s * 1000), workers=workers)


def look(it: Members, view: Leases, at: float, *, ahead_s: float = 0.0) -> Changes:
    return it.renewed(shown(view, at, ahead_s=ahead_s), asked_at=at, now=at)


def trusting(view: Leases, *, info: WorkerInfo = BOTH) -> tuple[Members, float]:
    """A worker that has seen ``view`` at each renewal until it trusts what it sees, and when."""
    it, now = members(info), 100.0
    look(it, view, now)
    while not it.trusted(now):
        now += RENEWAL_S
        look(it, view, now)
    return it, now


# Trust


def test_a_worker_that_starts_trusts_nothing() -> None:
    assert not members().trusted(1_000_000.0)


def test_trust_needs_exactly_one_lease_of_renewals() -> None:
    it = members()
    for now in (100.0, 103.0, 106.0, 109.0):
        look(it, leases(), now)

    assert not it.trusted(109.999)
    assert it.trusted(110.0)


def test_a_missed_renewal_ends_trust_and_it_takes_a_lease_to_come_back() -> None:
    it, now = trusting(leases())

    it.missed()
    assert not it.trusted(now)
    look(it, leases(), now + 0.5)

    assert not it.trusted(now + 0.5 + 9.999)
    assert it.trusted(now + 0.5 + 10.0)


def test_a_lease_without_a_renewal_ends_trust() -> None:
    it, now = trusting(leases())

    look(it, leases(), now + LEASE_S)

    assert not it.trusted(now + LEASE_S)


def test_just_under_a_lease_without_a_renewal_keeps_trust() -> None:
    it, now = trusting(leases())

    look(it, leases(), now + LEASE_S - 0.001)

    assert it.trusted(now + LEASE_S - 0.001)


def test_an_answer_that_may_have_waited_for_a_frozen_redis_ends_trust() -> None:
    it, now = trusting(leases())

    it.renewed(leases(), asked_at=now + 3.0, now=now + 7.0)

    assert not it.trusted(now + 7.0)


def test_an_answer_that_is_merely_slow_keeps_trust() -> None:
    it, now = trusting(leases())

    it.renewed(shown(leases(), now + 5.0), asked_at=now + 3.0, now=now + 6.999)

    assert it.trusted(now + 6.999)


def test_leases_that_were_born_anew_end_trust() -> None:
    it, now = trusting(leases({A: BOTH}))

    changes = look(it, replace(leases(), known_since_ms=NOW_MS), now + RENEWAL_S)

    assert not changes.gone
    assert A in it.known
    assert not it.trusted(now + RENEWAL_S)


def test_others_may_believe_it_dead_exactly_a_lease_after_it_last_asked() -> None:
    it = members()
    it.renewed(leases(), asked_at=200.0, now=201.0)

    assert not it.lapsed(209.999)
    assert it.lapsed(210.0)


# Coming


def test_it_always_knows_itself() -> None:
    it, _ = trusting(leases())

    assert it.known == {ME: BOTH}


def test_a_living_worker_joins_at_once() -> None:
    it = members()

    changes = look(it, leases({A: BOTH}), 100.0)

    assert changes == Changes(joined=[A], changed=True)


def test_a_worker_that_is_known_does_not_join_again() -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)

    assert look(it, leases({A: BOTH}), 103.0) == Changes()


def test_its_own_lease_is_no_news() -> None:
    assert look(members(), leases({ME: EDGE}), 100.0) == Changes()


def test_what_a_worker_says_anew_of_itself_is_a_change() -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)

    assert look(it, leases({A: replace(BOTH, on_connect=True)}), 103.0).changed


def test_a_worker_that_starts_hands_nothing_to_one_whose_lease_has_ended() -> None:
    it = members()

    changes = look(it, leases(lapsed={A: BOTH}), 100.0)

    assert changes == Changes()
    assert it.handlers == (ME,)


def test_the_next_look_is_due_when_the_first_lease_of_another_ends() -> None:
    it = members()

    it.renewed(
        Leases(5, {ME: (10, BOTH), A: (30, BOTH), B: (20, BOTH)}, set()), asked_at=1.0, now=1.0
    )

    assert it.next_end_ms == 20


@pytest.mark.parametrize("fenced", [{A}, set()])
def test_no_look_is_due_when_nobody_else_lives(fenced: set[WorkerId]) -> None:
    it = members()

    look(it, leases({A: BOTH} if fenced else {}, fenced=fenced), 100.0)

    assert it.next_end_ms is None


# Going


@pytest.mark.parametrize(
    "view", [leases(), leases(lapsed={A: BOTH})], ids=["absent", "lease ended"]
)
def test_without_trust_nobody_is_dropped_or_fenced(view: Leases) -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)

    assert look(it, view, 103.0) == Changes()
    assert A in it.known


def test_with_trust_an_absent_worker_is_gone() -> None:
    it, now = trusting(leases({A: BOTH}))

    assert look(it, leases(), now + 3.0) == Changes(gone=[A], changed=True)
    assert A not in it.known


def test_with_trust_an_ended_lease_is_to_be_fenced_and_believed_in_until_then() -> None:
    it, now = trusting(leases({A: BOTH}))

    assert look(it, leases(lapsed={A: BOTH}), now + 3.0) == Changes(lapsed=[A])
    assert A in it.known


def test_with_trust_a_lease_that_had_ended_before_it_was_ever_seen_is_to_be_fenced() -> None:
    it, now = trusting(leases(lapsed={A: BOTH}))

    assert look(it, leases(lapsed={A: BOTH}), now + 3.0) == Changes(lapsed=[A])


def test_a_fence_is_believed_without_trust() -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)

    changes = look(it, leases({A: BOTH}, fenced={A}), 103.0)

    assert changes == Changes(gone=[A], changed=True)


def test_a_fence_that_nobody_sweeps_is_to_be_claimed_without_trust() -> None:
    it = members()

    changes = look(it, leases(lapsed={A: BOTH}, fenced={A}), 100.0)

    assert changes == Changes(unswept=[A])


def test_a_worker_sees_its_own_fence() -> None:
    it = members()

    changes = look(it, leases(fenced={ME}), 100.0)

    assert changes.fenced
    assert ME in it.known


def test_a_worker_that_is_back_joins_again() -> None:
    it, now = trusting(leases({A: BOTH}))
    look(it, leases(), now + 3.0)

    assert look(it, leases({A: BOTH}), now + 6.0) == Changes(joined=[A], changed=True)


# Hints


def test_a_worker_that_says_it_has_gone_is_gone_without_trust() -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)

    assert it.gone(A, now=101.0)
    assert it.handlers == (ME,)


def test_that_somebody_unknown_has_gone_is_no_news() -> None:
    assert not members().gone(A, now=100.0)


def test_a_worker_does_not_believe_that_it_has_gone_itself() -> None:
    it = members()

    assert not it.gone(ME, now=100.0)
    assert ME in it.known


def test_leases_that_were_asked_for_before_a_goodbye_do_not_bring_a_worker_back() -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)
    it.gone(A, now=103.1)

    changes = it.renewed(leases({A: BOTH}), asked_at=103.0, now=103.2)

    assert not changes.joined


def test_leases_that_were_asked_for_after_a_goodbye_do() -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)
    it.gone(A, now=102.0)

    assert look(it, leases({A: BOTH}), 103.0).joined == [A]


def test_a_worker_that_leaves_is_known_but_given_nothing_new() -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)

    assert it.leaving(A, now=101.0)
    assert it.handlers == (ME,)
    assert A in it.known


def test_a_lease_that_does_not_say_so_yet_does_not_make_a_worker_stay() -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)
    it.leaving(A, now=101.0)

    look(it, leases({A: BOTH}), 103.0)

    assert it.handlers == (ME,)


@pytest.mark.parametrize("worker", [ME, A, B], ids=["itself", "leaves already", "unknown"])
def test_that_a_worker_leaves_may_be_no_news(worker: WorkerId) -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)
    it.leaving(A, now=101.0)

    assert not it.leaving(worker, now=102.0)


# Handlers


def test_the_generation_rises_exactly_when_the_handlers_change() -> None:
    it = members()
    first = it.generation

    look(it, leases({A: EDGE}), 100.0)
    assert it.generation == first
    look(it, leases({A: EDGE, B: BOTH}), 103.0)
    assert it.generation == first + 1


def test_a_worker_that_leaves_itself_is_no_handler_any_more() -> None:
    it = members()
    look(it, leases({A: BOTH}), 100.0)

    it.say(replace(BOTH, leaving=True))

    assert it.handlers == (A,)


def test_when_all_handlers_are_leaving_they_serve_to_the_end() -> None:
    it = members(EDGE)
    look(it, leases({A: BOTH, B: BOTH}), 100.0)

    it.leaving(A, now=101.0)
    it.leaving(B, now=101.0)

    assert it.handlers == (A, B)
