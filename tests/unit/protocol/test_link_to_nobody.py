"""A link to a worker that nobody hears: it may only be late, or it may be dead."""

from __future__ import annotations

from gateway.protocol.ids import WorkerId
from gateway.protocol.link import NO_BODY, Link
from gateway.protocol.retransmit_timer import LONGEST_SILENCE_S, NOBODY_S

A = WorkerId("a" * 16)
B = WorkerId("b" * 16)


def sender() -> Link:
    link = Link(A, version=3, now=100.0)
    link.out.append(bytes(1000))
    link.leaving(100.0)
    return link


def polls_to_nobody(link: Link, now: float, count: int) -> list[float]:
    """The pauses between polls that all reach nobody."""
    pauses = []
    for _ in range(count):
        link.nobody(now)
        deadline = link.deadline()
        assert deadline is not None
        pauses.append(round(deadline - now, 6))
        now = deadline
        ((_, body),) = link.leaving(now)
        assert body == NO_BODY  # or a worker that is dead would cost Redis a megabyte each time
    return pauses


def test_polls_that_reach_nobody_come_ever_more_slowly() -> None:
    pauses = polls_to_nobody(sender(), 100.0, 8)

    assert pauses == [NOBODY_S, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_SILENCE_S, LONGEST_SILENCE_S]


def test_an_acknowledgement_makes_it_quick_again() -> None:
    link, peer = Link(A, version=3, now=100.0), Link(B, version=3, now=100.0)
    peer.hurry(100.0)
    link.out.append(b"1")
    ((header, body),) = link.leaving(100.0)
    polls_to_nobody(link, 100.0, 5)
    peer.receive(header, body, 110.0)
    ((header, body),) = peer.leaving(110.1)
    link.receive(header, body, 110.1)
    link.out.append(b"2")
    link.leaving(110.1)

    assert polls_to_nobody(link, 110.1, 1) == [NOBODY_S]


def test_a_new_epoch_makes_it_quick_again() -> None:
    link = sender()
    polls_to_nobody(link, 100.0, 5)

    link.restart(110.0)
    link.out.append(b"2")
    link.leaving(110.0)

    assert polls_to_nobody(link, 110.0, 1) == [NOBODY_S]
