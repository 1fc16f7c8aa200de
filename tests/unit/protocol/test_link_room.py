"""How much a link sends and keeps, and what a peer of the previous version is sent."""

from __future__ import annotations

from msgspec import structs

from gateway.protocol.fair_share import FairShare
from gateway.protocol.link import ACK_DELAY_S, ASK_AGAIN_S, NO_BODY, Link, Verdict
from gateway.protocol.reorder_buffer import MAX_RUNS
from gateway.protocol.retransmit_timer import SILENCE_S
from gateway.protocol.send_buffer import MAX_REPEAT_BYTES
from tests.support.link_ends import B, link, numbers, pair, say, send, take
from tests.support.previous_link import PreviousLink

# How much may be under way


def test_no_more_is_under_way_than_the_peer_has_room_for() -> None:
    a, b = link(), Link(B, version=3, now=100.0, share=FairShare(peers=256))  # 64 KiB each
    b.hurry(100.0)
    take(b, send(a, b"1", 100.0), 100.0)
    a.receive(say(b, 100.05), NO_BODY, 100.05)
    for _ in range(4):
        a.out.append(bytes(30 << 10))

    first = a.leaving(100.1)
    assert numbers(first) == [2, 3]
    assert not a.out.open
    assert a.deadline() == 100.1 + SILENCE_S
    for arrived in first:
        take(b, arrived, 100.1)
    a.receive(say(b, 100.2), NO_BODY, 100.2)

    assert a.deadline() == 0.0
    assert numbers(a.leaving(100.2)) == [4, 5]


def test_a_batch_that_is_larger_than_the_room_goes_alone() -> None:
    a = link()
    a.out.append(bytes(1 << 20))
    a.out.append(b"2")

    assert numbers(a.leaving(100.0)) == [1]


def test_what_was_lost_goes_before_what_is_new() -> None:
    a, b = pair()
    sent = [send(a, bytes([n]), 100.0) for n in range(3)]
    take(b, sent[2], 100.0)
    a.out.append(b"new")

    a.receive(say(b, 100.0), NO_BODY, 100.0)

    assert numbers(a.leaving(100.0)) == [1, 2, 4]


def test_what_comes_early_is_kept_within_a_bound_and_comes_again_beyond_it() -> None:
    share = FairShare()
    share.early_bytes = 2
    a, b = link(), Link(B, version=3, now=100.0, share=share)
    sent = [send(a, bytes([n]), 100.0) for n in range(4)]
    for n in (1, 2, 3):
        take(b, sent[n], 100.0)

    a.receive(say(b, 100.0), NO_BODY, 100.0)

    assert numbers(a.leaving(100.0)) == [1, 4]


def test_gaps_are_kept_within_a_bound_as_they_must_be_told() -> None:
    b = link(B)
    header = send(link(), b"1", 100.0)[0]
    for number in range(2, 10 * MAX_RUNS, 2):
        b.receive(structs.replace(header, number=number), b"x", 100.0)

    assert len(say(b, 100.0).held) == 2 * MAX_RUNS


# A peer of the previous version


def test_to_an_older_peer_everything_is_sent_again_when_it_asks() -> None:
    a, b = link(), PreviousLink(B, version=2, now=100.0)
    a.set_version(2)
    send(a, b"1", 100.0)
    early = send(a, b"2", 100.0)

    assert b.receive(*early, 100.0) is Verdict.EARLY
    a.receive(say(b, 100.0), NO_BODY, 100.0)

    assert numbers(a.leaving(100.0)) == [1, 2]


def test_to_hear_the_same_version_again_takes_no_room_away() -> None:
    """Each look at the leases says so, of every peer."""
    a = link()
    a.out.room_bytes = 7

    a.set_version(a.version)

    assert a.out.room_bytes == 7


def test_a_gap_is_asked_for_again_only_after_a_while_by_an_older_peer() -> None:
    a, b = pair(version=2)
    send(a, b"1", 100.0)
    early = send(a, b"2", 100.0)

    b.receive(*early, 100.0)
    assert say(b, 100.0).ask
    b.receive(*send(a, b"3", 100.1), 100.0 + ASK_AGAIN_S / 2)
    assert not say(b, 100.0 + ASK_AGAIN_S - 0.01).ask
    b.receive(*send(a, b"4", 100.2), 100.0 + ASK_AGAIN_S)
    assert say(b, 100.0 + ASK_AGAIN_S).ask


def test_to_an_older_peer_much_is_sent_again_piece_by_piece() -> None:
    """Each after the last has arrived."""
    a, b = link(), PreviousLink(B, version=2, now=100.0)
    a.set_version(2)
    for n in range(5):
        a.out.append(bytes([n]) * (MAX_REPEAT_BYTES // 2))
    assert numbers(a.leaving(100.0)) == [1, 2, 3, 4, 5]  # and all of it is lost

    rounds = []
    now = 100.0 + SILENCE_S
    while repeats := a.leaving(now):
        rounds.append(numbers(repeats))
        for repeat in repeats:
            b.receive(*repeat, now)
        a.receive(say(b, now + ACK_DELAY_S), NO_BODY, now + ACK_DELAY_S)
        now += 2 * ACK_DELAY_S

    assert rounds == [[1, 2], [3, 4], [5]]
    assert a.idle
