"""A link to a worker that nobody hears: it may only be late, or it may be dead."""

from __future__ import annotations

from gateway.protocol.ids import WorkerId
from gateway.protocol.link import LONGEST_SILENCE_S, NOBODY_S, Link

A = WorkerId("a" * 16)
B = WorkerId("b" * 16)


def repeats_to_nobody(link: Link, now: float, count: int) -> list[float]:
    """The pauses between repeats that all reach nobody."""
    pauses = []
    for _ in range(count):
        link.nobody(now)
        deadline = link.deadline()
        assert deadline is not None
        pauses.append(round(deadline - now, 6))
        now = deadline
        assert link.repeats(now)
    return pauses


def test_repeats_that_reach_nobody_come_ever_more_slowly() -> None:
    link = Link(A, version=2, now=100.0)
    link.append(b"1", 100.0)

    pauses = repeats_to_nobody(link, 100.0, 8)

    assert pauses == [NOBODY_S, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_SILENCE_S, LONGEST_SILENCE_S]


def test_an_acknowledgement_makes_it_quick_again() -> None:
    link, peer = Link(A, version=2, now=100.0), Link(B, version=2, now=100.0)
    first = link.header(link.append(b"1", 100.0))
    repeats_to_nobody(link, 100.0, 5)
    peer.receive(first, 110.0)
    link.receive(peer.header(0), 110.0)
    link.append(b"2", 110.0)

    assert repeats_to_nobody(link, 110.0, 1) == [NOBODY_S]


def test_a_new_epoch_makes_it_quick_again() -> None:
    link = Link(A, version=2, now=100.0)
    link.append(b"1", 100.0)
    repeats_to_nobody(link, 100.0, 5)

    link.restart(110.0)
    link.append(b"2", 110.0)

    assert repeats_to_nobody(link, 110.0, 1) == [NOBODY_S]
