"""A link whose way out was gone for a while."""

from __future__ import annotations

from gateway.protocol.envelope import VERSION
from gateway.protocol.link import NOBODY_S, Link
from tests.support.ids import new_worker_id


def test_after_an_interruption_all_that_is_unacknowledged_is_due_with_an_acknowledgement() -> None:
    a, b = (Link(me, version=VERSION, now=100.0) for me in (new_worker_id(), new_worker_id()))
    a.receive(b.header(b.append(b"from b", 100.0)), 100.0)
    a.append(b"1", 100.0)
    for _ in range(3):
        a.repeats(a.deadline() or 0.0)  # into the void: its patience grows
        a.header(0)

    a.interrupted(110.0)

    assert a.repeats(110.0) == [(1, b"1")]
    header = a.header(1)
    assert (header.ask, header.ack) == (False, 1)
    a.nobody(110.0)
    assert a.deadline() == 110.0 + NOBODY_S


def test_after_an_interruption_an_idle_link_repeats_nothing() -> None:
    a = Link(new_worker_id(), version=VERSION, now=100.0)

    a.interrupted(100.0)

    assert a.deadline() is None


def test_after_an_interruption_what_was_received_is_acknowledged_even_alone() -> None:
    a, b = (Link(me, version=VERSION, now=100.0) for me in (new_worker_id(), new_worker_id()))
    a.receive(b.header(b.append(b"from b", 100.0)), 100.0)
    a.header(0)  # lost on the way

    a.interrupted(110.0)

    assert a.owes(110.0)
