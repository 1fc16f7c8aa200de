"""A link that is given up or forgotten, and begins anew."""

from __future__ import annotations

import pytest
from msgspec import structs

from gateway.protocol.ids import WorkerId
from gateway.protocol.link import NO_BODY, Verdict
from tests.support.link_ends import A, B, link, pair, say, send, take


def test_a_restart_is_noticed_by_the_peer_and_nothing_old_is_taken() -> None:
    a, b = pair()
    old = send(a, b"1", 100.0)
    b.receive(*old, 100.0)
    a.receive(say(b, 100.1), NO_BODY, 100.1)
    a.restart(101.0)
    new = send(a, b"2", 101.0)

    assert b.lost(new[0])
    b.restart(101.0)
    assert b.receive(*new, 101.0) is Verdict.DELIVER
    assert b.receive(*old, 101.1) is Verdict.STALE
    assert not b.lost(old[0])


def test_a_link_goes_on_until_one_end_gives_it_up() -> None:
    a, b = pair()
    first = send(a, b"1", 100.0)
    assert not b.goes_on(first[0])  # it is new
    take(b, first, 100.0)
    take(a, send(b, b"answer", 100.0), 100.0)
    second = send(a, b"2", 100.1)
    assert b.goes_on(second[0])
    take(b, second, 100.1)

    a.restart(101.0)
    begun = send(a, b"3", 101.0)
    assert not b.goes_on(begun[0])
    assert b.lost(begun[0])
    assert not a.goes_on(send(b, b"late", 101.0)[0])


def test_a_restarted_link_takes_nothing_from_the_epoch_it_gave_up() -> None:
    a, b = pair()
    a.receive(*send(b, b"1", 100.0), 100.0)
    late = send(b, b"2", 100.0)

    a.restart(101.0)

    assert not a.lost(late[0])
    assert a.receive(*late, 101.0) is Verdict.STALE


def test_what_came_early_in_an_epoch_that_was_given_up_is_not_delivered() -> None:
    a, b = pair()
    take(b, send(a, b"0", 100.0), 100.0)
    send(a, b"1", 100.0)
    take(b, send(a, b"2", 100.0), 100.0)
    a.receive(say(b, 100.0), NO_BODY, 100.0)

    a.restart(101.0)
    new = send(a, b"new", 101.0)
    assert b.lost(new[0])
    b.restart(101.0)

    assert take(b, new, 101.0) == [b"new"]
    assert take(b, send(a, b"newer", 101.0), 101.0) == [b"newer"]


def test_restarting_twice_within_a_millisecond_still_raises_the_epoch() -> None:
    a = link()
    first = a.epoch

    a.restart(100.0)

    assert a.epoch == first + 1


def test_an_acknowledgement_of_another_epoch_is_ignored() -> None:
    a, b = pair()
    b.receive(*send(a, b"1", 100.0), 100.0)
    stale_ack = say(b, 100.1)
    a.restart(101.0)
    send(a, b"2", 101.0)

    a.receive(stale_ack, NO_BODY, 101.0)

    assert a.out.kept_bytes == 1


def test_an_acknowledgement_of_what_never_was_is_ignored() -> None:
    a, b = pair()
    b.receive(*send(a, b"1", 100.0), 100.0)
    said = say(b, 100.1)

    a.receive(structs.replace(said, ack=1 << 60), NO_BODY, 100.1)
    assert a.out.kept_bytes == 1
    a.receive(said, NO_BODY, 100.1)
    assert a.out.kept_bytes == 0


def test_asking_before_anything_was_heard_asks_nothing() -> None:
    a = link()

    a.ask(100.0)

    assert a.idle


def test_a_peer_that_has_forgotten_a_link_begins_anew_when_it_hears_from_it() -> None:
    """Red when a header for an epoch of before is stale, and no more: for ever."""
    a, b = pair()
    take(b, send(a, b"1", 100.0), 100.0)
    take(a, send(b, b"answer", 100.0), 100.0)
    b = link(B, 200.0)  # it remembers nothing

    more = send(a, b"2", 201.0)
    assert b.receive(*more, 201.0) is Verdict.STALE
    assert b.forgotten(more[0])
    hello = send(b, NO_BODY, 201.0)

    assert a.lost(hello[0])
    a.restart(201.0)
    assert take(a, hello, 201.0) == [NO_BODY]
    assert take(b, send(a, b"3", 201.0), 201.0) == [b"3"]


def test_a_peer_that_has_forgotten_a_link_begins_anew_when_it_speaks_first() -> None:
    """Red when the numbers of before make everything early: for ever."""
    a, b = pair()
    take(b, send(a, b"1", 100.0), 100.0)
    take(a, send(b, b"answer", 100.0), 100.0)
    b = link(B, 200.0)

    first = send(b, b"hello", 201.0)

    assert a.lost(first[0])
    a.restart(201.0)
    assert take(a, first, 201.0) == [b"hello"]
    assert take(b, send(a, b"2", 201.0), 201.0) == [b"2"]


@pytest.mark.parametrize("restarting", [A, B])
def test_one_side_restarts_and_the_other_follows(restarting: WorkerId) -> None:
    ends = {A: link(A), B: link(B)}
    other = B if restarting == A else A
    for me, peer in ((A, B), (B, A)):
        ends[peer].receive(*send(ends[me], b"x", 100.0), 100.0)

    ends[restarting].restart(101.0)
    hello = send(ends[restarting], b"hello", 101.0)
    assert ends[other].lost(hello[0])
    ends[other].restart(101.0)
    assert ends[other].receive(*hello, 101.0) is Verdict.DELIVER

    answer = send(ends[other], b"answer", 101.0)
    assert not ends[restarting].lost(answer[0])
    assert ends[restarting].receive(*answer, 101.0) is Verdict.DELIVER


def test_an_acknowledgement_from_before_a_peer_forgot_us_does_not_hold_the_link_up() -> None:
    """Red when only a peer that has heard nothing of us counts as one that has forgotten us."""
    a, b = pair()
    take(b, send(a, b"1", 100.0), 100.0)
    late = send(b, b"answer", 100.0)  # it acknowledges that
    b = link(B, 200.0)
    a.interrupted(200.0)
    b.receive(say(a, 200.0), NO_BODY, 200.0)  # from before: it hears of us first by this
    take(a, late, 200.0)

    first = send(b, b"hello", 200.1)
    assert a.lost(first[0])
    a.restart(200.1)
    assert take(b, send(a, b"2", 200.1), 200.1) == [b"2"]
    a.receive(say(b, 202.0), NO_BODY, 202.0)  # a poll
    b.receive(say(a, 202.0), NO_BODY, 202.0)
    (again,) = b.leaving(202.0)
    assert take(a, again, 202.0) == [b"hello"]


def test_two_ends_that_forget_each_other_with_batches_under_way_speak_anew() -> None:
    """Red when each goes on acknowledging an epoch that the other no longer knows: for ever."""
    a, b = pair()
    from_a, from_b = send(a, b"old", 100.0), send(b, b"old", 100.0)
    a, b = link(A, 200.0), link(B, 200.0)
    take(a, from_b, 200.0)
    take(b, from_a, 200.0)
    got: dict[WorkerId, list[bytes]] = {A: [], B: []}
    a.out.append(b"1")
    b.out.append(b"2")

    for now in (200.1, 203.0, 206.0, 209.0):
        for sender, receiver, name in ((a, b, B), (b, a, A)):
            for arrived in sender.leaving(now):
                got[name] += take(receiver, arrived, now)

    assert got == {A: [b"2"], B: [b"1"]}
    assert not a.out.kept_bytes + b.out.kept_bytes
