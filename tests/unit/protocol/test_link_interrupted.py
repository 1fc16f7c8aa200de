"""A link whose way out was gone for a while."""

from __future__ import annotations

from gateway.protocol.envelopes.wire import VERSION
from gateway.protocol.link import NO_BODY, Link
from gateway.protocol.retransmit_timer import NOBODY_S
from tests.support.ids import new_worker_id


def pair() -> tuple[Link, Link]:
    """``a`` has heard from ``b``."""
    a, b = (Link(me, version=VERSION, now=100.0) for me in (new_worker_id(), new_worker_id()))
    b.out.append(b"from b")
    for header, body in b.leaving(100.0):
        a.receive(header, body, 100.0)
    return a, b


def test_after_an_interruption_it_polls_at_once_with_an_acknowledgement() -> None:
    a, _ = pair()
    a.out.append(b"1")
    for _ in range(4):
        a.leaving(a.deadline() or 0.0)  # into the void: its patience grows

    a.interrupted(110.0)

    ((header, body),) = a.leaving(110.0)
    assert body == NO_BODY
    assert (header.number, header.ask, header.ack) == (0, False, 1)
    assert header.serial
    a.nobody(110.0)
    assert a.deadline() == 110.0 + NOBODY_S


def test_after_an_interruption_what_never_left_leaves_at_once() -> None:
    a, _ = pair()
    a.out.append(b"1")

    a.interrupted(110.0)

    assert [body for _, body in a.leaving(110.0)] == [b"1"]


def test_after_an_interruption_what_was_lost_with_the_way_is_sent_again() -> None:
    a, b = pair()
    a.out.append(b"1")
    a.leaving(100.0)  # lost on the way

    a.interrupted(110.0)
    for header, body in a.leaving(110.0):
        b.receive(header, body, 110.0)
    for header, body in b.leaving(110.0):
        a.receive(header, body, 110.0)

    assert [body for _, body in a.leaving(110.0)] == [b"1"]


def test_after_an_interruption_an_idle_link_says_nothing() -> None:
    a = Link(new_worker_id(), version=VERSION, now=100.0)

    a.interrupted(100.0)

    assert a.deadline() is None


def test_after_an_interruption_what_was_received_is_acknowledged_even_alone() -> None:
    a, _ = pair()
    a.leaving(100.1)  # lost on the way

    a.interrupted(110.0)

    ((header, _),) = a.leaving(110.0)
    assert (header.number, header.ack) == (0, 1)
