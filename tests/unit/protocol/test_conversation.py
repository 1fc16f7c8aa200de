"""One connection's unanswered messages: in order, one worker at a time, three tries."""

from __future__ import annotations

import pytest

from gateway.protocol.conversation import (
    MAX_ATTEMPTS,
    MAX_IN_FLIGHT,
    MAX_IN_FLIGHT_BYTES,
    WAITING_BYTES,
    Conversation,
    Event,
    Pending,
)
from gateway.protocol.hooks import HookKind, HookRequest
from gateway.protocol.ids import WorkerId

A = WorkerId("a" * 16)
B = WorkerId("b" * 16)
C = WorkerId("c" * 16)


def conversation(*texts: str, size_bytes: int = 1) -> Conversation:
    """One that has read these messages, a second apart from 0."""
    it = Conversation()
    for second, text in enumerate(texts):
        it.read(Event.MESSAGE, text, size_bytes=size_bytes, now=float(second))
    return it


def numbers(pending: list[Pending]) -> list[int]:
    return [p.number for p in pending]


def test_events_are_numbered_from_one_in_the_order_of_reading() -> None:
    it = conversation("one", "two")

    assert [(p.number, p.text, p.attempt) for p in it.release(A)] == [(1, "one", 1), (2, "two", 1)]


def test_an_event_keeps_what_it_was_read_with() -> None:
    it = Conversation()
    it.read(Event.DISCONNECT, "gone", size_bytes=4, now=7.0, close_code=1006)

    (pending,) = it.release(A)

    assert (pending.event, pending.text, pending.close_code) == (Event.DISCONNECT, "gone", 1006)
    assert (pending.size_bytes, pending.since) == (4, 7.0)


def test_it_is_full_at_exactly_32_events() -> None:
    it = conversation(*["x"] * 31)
    assert not it.full

    it.read(Event.MESSAGE, "x", size_bytes=1, now=0.0)

    assert it.full


def test_it_is_full_at_exactly_one_mebibyte() -> None:
    it = conversation("x", size_bytes=(1 << 20) - 1)
    it.release(A)
    assert not it.full

    it.read(Event.MESSAGE, "x", size_bytes=1, now=0.0)

    assert it.full


def test_64_kib_are_enough_while_something_cannot_even_be_dispatched() -> None:
    """Red without ``WAITING_BYTES``: each connection keeps a mebibyte while no worker takes it."""
    it = conversation("x", size_bytes=WAITING_BYTES + 1)
    assert it.full

    it.release(A)
    assert not it.full


def test_an_answer_makes_room() -> None:
    it = conversation(*["x"] * MAX_IN_FLIGHT, size_bytes=MAX_IN_FLIGHT_BYTES)
    it.release(A)

    for number in range(1, MAX_IN_FLIGHT + 1):
        assert it.full
        assert it.settle(A, number, 1)

    assert not it.full


def test_the_oldest_is_what_is_to_be_answered_next() -> None:
    it = conversation("one", "two")

    assert it.oldest is not None
    assert it.oldest.text == "one"
    assert conversation().oldest is None


def test_what_is_outstanding_is_counted_in_bytes() -> None:
    it = conversation("one", "two", size_bytes=7)
    it.release(A)
    it.read(Event.MESSAGE, "three", size_bytes=5, now=0.0)

    assert it.outstanding_bytes == 14


def test_what_held_its_worker_up_is_not_released_again_nor_what_comes_after_it() -> None:
    it = conversation("one", "two", "three")
    it.release(A)
    it.blame(A, 2, 1)
    it.take_back(A)

    assert numbers(it.release(B)) == [1]
    assert it.release(B) == []


def test_nothing_is_released_without_a_worker() -> None:
    it = conversation("one")

    assert it.release(None) == []
    assert it.waiting == 1


def test_nothing_is_released_while_held() -> None:
    it = conversation("one")
    it.held = True

    assert it.release(A) == []


def test_more_may_go_to_the_worker_that_owes_an_answer() -> None:
    it = conversation("one")
    it.release(A)
    it.read(Event.MESSAGE, "two", size_bytes=1, now=0.0)

    assert numbers(it.release(A)) == [2]
    assert it.outstanding == 2


def test_nothing_goes_to_another_worker_while_an_answer_is_owed() -> None:
    it = conversation("one", "two")
    it.release(A)
    it.settle(A, 1, 1)
    it.read(Event.MESSAGE, "three", size_bytes=1, now=0.0)

    assert it.release(B) == []
    assert it.worker == A


def test_another_worker_goes_on_once_everything_is_answered() -> None:
    it = conversation("one")
    it.release(A)
    it.read(Event.MESSAGE, "two", size_bytes=1, now=0.0)
    it.settle(A, 1, 1)

    assert numbers(it.release(B)) == [2]
    assert it.worker == B


@pytest.mark.parametrize(
    ("worker", "number", "attempt"),
    [(B, 1, 1), (A, 2, 1), (A, 0, 1), (A, 3, 1), (A, 1, 2), (A, 1, 0)],
    ids=["another worker", "not the oldest", "none", "not dispatched", "later", "earlier"],
)
def test_an_answer_that_is_not_waited_for_is_not_believed(
    worker: WorkerId, number: int, attempt: int
) -> None:
    it = conversation("one", "two")
    it.release(A)

    assert it.settle(worker, number, attempt) is None
    assert it.outstanding == 2


def test_an_answer_is_believed_once() -> None:
    it = conversation("one")
    it.release(A)
    it.settle(A, 1, 1)

    assert it.settle(A, 1, 1) is None


def test_an_answer_to_what_was_never_dispatched_is_not_believed() -> None:
    it = conversation("one")
    it.release(A)
    it.settle(A, 1, 1)
    it.read(Event.MESSAGE, "two", size_bytes=1, now=0.0)

    assert it.settle(A, 2, 1) is None
    assert it.waiting == 1


def test_what_a_dead_worker_owes_moves_together_with_a_new_attempt() -> None:
    it = conversation("one", "two", "three")
    it.release(A)
    it.settle(A, 1, 1)

    assert it.take_back(A) == (2, [])
    assert it.worker is None
    assert [(p.number, p.attempt) for p in it.release(B)] == [(2, 2), (3, 2)]


def test_what_only_waited_keeps_its_attempt_when_a_worker_dies() -> None:
    it = conversation("one")
    it.release(A)
    it.read(Event.MESSAGE, "two", size_bytes=1, now=0.0)
    it.take_back(A)

    assert [(p.number, p.attempt) for p in it.release(B)] == [(1, 2), (2, 1)]


def test_the_answer_of_a_worker_that_was_taken_for_dead_is_not_believed() -> None:
    it = conversation("one")
    it.release(A)
    it.take_back(A)
    it.release(B)

    assert it.settle(A, 1, 1) is None
    assert it.settle(B, 1, 1) is None
    assert it.settle(B, 1, 2) is not None


def test_the_same_worker_may_be_asked_again_but_only_its_new_answer_counts() -> None:
    it = conversation("one")
    it.release(A)
    it.take_back(A)
    it.release(A)

    assert it.settle(A, 1, 1) is None
    assert it.settle(A, 1, 2) is not None


def test_an_event_is_given_up_after_its_third_attempt() -> None:
    it = conversation("poison", size_bytes=10)
    for worker in (A, B):
        it.release(worker)
        assert it.take_back(worker) == (1, [])
    (last,) = it.release(C)
    assert last.attempt == MAX_ATTEMPTS

    moved, spent = it.take_back(C)

    assert (moved, spent) == (1, [last])
    assert len(it) == it.bytes_in_flight == 0


def test_those_that_came_later_live_on_when_an_older_one_is_given_up() -> None:
    it = conversation("poison")
    for worker in (A, B):
        it.release(worker)
        it.take_back(worker)
    it.read(Event.MESSAGE, "young", size_bytes=1, now=0.0)
    it.release(C)

    moved, spent = it.take_back(C)

    assert (moved, numbers(spent)) == (2, [1])
    assert [(p.number, p.attempt) for p in it.release(A)] == [(2, 2)]


def test_the_death_of_another_worker_moves_nothing() -> None:
    it = conversation("one")
    it.release(A)

    assert it.take_back(B) == (0, [])
    assert it.worker == A
    assert it.settle(A, 1, 1) is not None


def test_what_waited_too_long_is_taken_out_and_the_rest_stays() -> None:
    it = conversation("one", "two", "three")

    assert numbers(it.expire(2.0)) == [1, 2]
    assert numbers(it.release(A)) == [3]
    assert it.bytes_in_flight == 1


def test_exactly_at_its_time_it_still_waits() -> None:
    it = conversation("one")

    assert it.expire(0.0) == []


def test_nothing_expires_past_an_answer_that_is_still_owed() -> None:
    it = conversation("one")
    it.release(A)
    it.read(Event.MESSAGE, "two", size_bytes=1, now=1.0)

    assert it.expire(100.0) == []


def test_a_lost_socket_drops_what_waits_and_leaves_what_is_outstanding() -> None:
    it = conversation("one", "two")
    it.release(A)
    it.read(Event.MESSAGE, "three", size_bytes=5, now=1.0)

    it.abandon()

    assert (it.outstanding, it.waiting, it.bytes_in_flight) == (2, 0, 2)


def test_a_lost_socket_leaves_the_ends_of_subscriptions_in_their_order() -> None:
    it = conversation("one")
    for name in ("a", "b"):
        ended = HookRequest(HookKind.UNSUBSCRIBE, name)
        it.read(Event.UNSUBSCRIBE, "", size_bytes=1, now=1.0, hook=ended)
        it.read(Event.HOOK, "", size_bytes=1, now=1.0, hook=HookRequest(HookKind.RPC, name))

    it.abandon()
    it.read(Event.DISCONNECT, "", size_bytes=0, now=1.0)

    assert numbers(it.release(A)) == [2, 4, 6]


def test_a_new_event_after_a_lost_socket_still_has_the_next_number() -> None:
    it = conversation("one", "two")
    it.abandon()

    it.read(Event.DISCONNECT, "", size_bytes=0, now=1.0)

    assert numbers(it.release(A)) == [3]


# What holds its worker up


def test_what_held_its_worker_up_is_not_moved_and_overtakes_nothing() -> None:
    """Red when it is moved like its neighbours: it holds up the next worker, and one more."""
    it = conversation("before", "poison", "after")
    it.release(A)

    it.blame(A, 2, 1)
    moved, spent = it.take_back(A)

    assert (moved, spent) == (3, [])
    assert [(p.number, p.attempt) for p in it.release(B)] == [(1, 2)]
    assert it.take_spent() == []
    assert it.settle(B, 1, 2)
    assert numbers(it.take_spent()) == [2]
    assert [(p.number, p.attempt) for p in it.release(B)] == [(3, 2)]


def test_the_oldest_that_held_its_worker_up_is_spent_at_once() -> None:
    it = conversation("poison", "after")
    it.release(A)

    it.blame(A, 1, 1)

    moved, spent = it.take_back(A)
    assert (moved, numbers(spent)) == (2, [1])
    assert numbers(it.release(B)) == [2]


def test_a_worker_that_wakes_in_time_may_answer_what_held_it_up() -> None:
    it = conversation("slow", "after")
    it.release(A)
    it.blame(A, 1, 1)

    assert it.settle(A, 1, 1)

    assert it.take_back(A) == (1, [])
    assert numbers(it.release(B)) == [2]


@pytest.mark.parametrize(("worker", "number", "attempt"), [(B, 1, 1), (A, 1, 2), (A, 2, 1)])
def test_nobody_is_blamed_by_who_was_not_asked_or_for_what_was_not_asked(
    worker: WorkerId, number: int, attempt: int
) -> None:
    it = conversation("one")
    it.release(A)
    it.read(Event.MESSAGE, "two", size_bytes=1, now=0.0)

    it.blame(worker, number, attempt)

    assert it.take_back(A) == (1, [])
    assert numbers(it.release(B)) == [1, 2]
