"""The link: numbers, acknowledgements, gaps and silences."""

from __future__ import annotations

import pytest

from gateway.protocol.link import ACK_DELAY_S, NO_BODY, Verdict
from gateway.protocol.retransmit_timer import LONGEST_SILENCE_S, NOBODY_S, SILENCE_S
from tests.support.link_ends import link, numbers, pair, say, send, take


def test_batches_are_delivered_in_the_order_they_were_sent() -> None:
    a, b = pair()

    verdicts = [b.receive(*send(a, body, 100.0), 100.0) for body in (b"1", b"2", b"3")]

    assert verdicts == [Verdict.DELIVER] * 3
    assert b.received == 3


def test_a_repeat_is_not_delivered_and_is_acknowledged_at_once() -> None:
    a, b = pair()
    sent = send(a, b"1", 100.0)
    b.receive(*sent, 100.0)

    assert b.receive(*sent, 100.01) is Verdict.REPEAT
    assert b.deadline() == 100.01


def test_what_comes_early_is_kept_and_only_what_is_missing_is_sent_again() -> None:
    """Red when everything after a gap is dropped, and sent again."""
    a, b = pair()
    one, two, three, four = (send(a, body, 100.0) for body in (b"1", b"2", b"3", b"4"))
    assert take(b, one, 100.0) == [b"1"]

    assert b.receive(*three, 100.0) is Verdict.EARLY
    assert b.receive(*four, 100.0) is Verdict.EARLY
    report = say(b, 100.0)  # at once
    a.receive(report, NO_BODY, 100.0)

    assert (report.ack, report.held) == (1, (3, 4))
    (again,) = a.leaving(100.0)
    assert again[1] == two[1]
    assert take(b, again, 100.1) == [b"2", b"3", b"4"]
    a.receive(say(b, 100.2), NO_BODY, 100.2)
    assert a.idle
    assert a.out.repeats == 1


def test_of_two_gaps_both_are_sent_again_the_oldest_first() -> None:
    a, b = pair()
    sent = [send(a, bytes([n]), 100.0) for n in range(6)]
    for n in (0, 2, 5):
        take(b, sent[n], 100.0)

    a.receive(say(b, 100.0), NO_BODY, 100.0)

    assert numbers(a.leaving(100.0)) == [2, 4, 5]


def test_what_left_after_the_last_that_was_heard_may_still_come() -> None:
    a, b = pair()
    sent = [send(a, bytes([n]), 100.0) for n in range(3)]
    take(b, sent[0], 100.0)

    a.receive(say(b, 100.1), NO_BODY, 100.1)

    assert a.leaving(100.1) == []


def test_a_repeat_that_is_lost_as_well_is_sent_once_more() -> None:
    a, b = pair()
    sent = [send(a, bytes([n]), 100.0) for n in range(3)]
    take(b, sent[1], 100.0)
    a.receive(say(b, 100.0), NO_BODY, 100.0)
    assert numbers(a.leaving(100.0)) == [1]  # and it is lost
    take(b, sent[2], 100.0)
    a.receive(say(b, 100.05), NO_BODY, 100.1)
    assert a.leaving(100.1) == []  # it may be under way

    later = send(a, b"4", 100.2)
    take(b, later, 100.2)
    a.receive(say(b, 100.3), NO_BODY, 100.3)

    assert numbers(a.leaving(100.3)) == [1]


def test_silence_makes_the_sender_poll_with_growing_patience() -> None:
    """Red when a silence makes it send everything again: that is what made Redis slow."""
    a = link()
    send(a, b"1", 100.0)

    times = []
    for _ in range(4):
        deadline = a.deadline()
        assert deadline is not None
        times.append(deadline)
        assert say(a, deadline).number == 0

    gaps = [after - before for before, after in zip([100.0, *times], times, strict=False)]
    assert gaps == [SILENCE_S, 2.0, LONGEST_SILENCE_S, LONGEST_SILENCE_S]
    assert (a.polls, a.out.repeats) == (4, 0)


def test_a_poll_brings_a_report_at_once_and_then_what_was_lost() -> None:
    a, b = pair()
    take(b, send(a, b"1", 100.0), 100.0)
    a.receive(say(b, 100.05), NO_BODY, 100.05)
    for body in (b"2", b"3"):
        send(a, body, 100.1)  # and both are lost

    poll = say(a, 100.0 + 2 * SILENCE_S)
    assert b.receive(poll, NO_BODY, 102.0) is Verdict.OUTSIDE
    a.receive(say(b, 102.0), NO_BODY, 102.0)

    assert numbers(a.leaving(102.0)) == [2, 3]


def test_the_patience_follows_the_round_trip() -> None:
    a, b = pair()
    now = 100.0
    for _ in range(20):
        sent = send(a, b"x", now)
        take(b, sent, now + 0.6)
        a.receive(say(b, now + 0.65), NO_BODY, now + 1.25)
        now += 2.0

    send(a, b"x", now)

    assert a.patience.round_trip_s == pytest.approx(1.25, rel=0.01)
    assert a.deadline() == pytest.approx(now + 1.25, rel=0.01)


def test_a_repeat_is_not_taken_for_a_quick_answer() -> None:
    """Karn's rule: what is heard is the first, although it has been sent again meanwhile."""
    a, b = pair()
    sent = send(a, b"1", 100.0)
    say(a, 101.0)  # a poll
    take(b, sent, 101.2)

    a.receive(say(b, 101.25), NO_BODY, 101.3)

    assert a.patience.round_trip_s == pytest.approx(1.3, rel=0.01)


def test_an_acknowledgement_rides_on_a_batch_that_leaves_anyway() -> None:
    a, b = pair()
    b.receive(*send(a, b"1", 100.0), 100.0)

    header, body = send(b, b"reply", 100.01)
    a.receive(header, body, 100.02)

    assert header.ack == 1
    assert a.out.kept_bytes == 0
    assert b.deadline() == 100.01 + SILENCE_S  # only the reply itself is owed now


def test_an_acknowledgement_goes_alone_after_its_delay() -> None:
    a, b = pair()
    b.receive(*send(a, b"1", 100.0), 100.0)

    assert not b.leaving(100.0 + ACK_DELAY_S - 0.001)
    assert say(b, 100.0 + ACK_DELAY_S).ack == 1


def test_while_something_is_missing_a_report_does_not_ride_on_every_batch() -> None:
    """It may be long; but what goes without it must not be taken for one."""
    a, b = pair()
    sent = [send(a, bytes([n]), 100.0) for n in range(3)]
    take(b, sent[1], 100.0)
    say(b, 100.0)
    take(b, sent[2], 100.01)

    without, _ = send(b, b"reply", 100.02)
    a.receive(without, b"reply", 100.02)

    assert (without.heard, without.held) == (0, ())
    assert a.leaving(100.02) == []
    assert say(b, 100.01 + ACK_DELAY_S).held == (2, 3)


def test_a_publish_that_reached_nobody_is_looked_after_soon() -> None:
    a = link()
    send(a, b"1", 100.0)

    a.nobody(100.0)

    assert a.deadline() == 100.0 + NOBODY_S


def test_nobody_is_no_news_when_everything_is_acknowledged() -> None:
    a = link()

    a.nobody(100.0)

    assert a.deadline() is None


def test_progress_resets_the_patience() -> None:
    a, b = pair()
    first = send(a, b"1", 100.0)
    send(a, b"2", 100.0)
    for _ in range(3):
        a.leaving(a.deadline() or 0.0)

    b.receive(*first, 100.0)
    a.receive(say(b, 100.05), NO_BODY, 100.05)

    assert a.deadline() == 100.05 + SILENCE_S


def test_a_question_to_the_peer_is_due_at_once() -> None:
    a, b = pair()
    b.receive(*send(a, b"1", 100.0), 100.0)

    b.ask(100.0)

    assert b.deadline() == 0.0
    assert say(b, 100.0).ask


def test_a_peer_that_asks_is_polled_and_so_told_what_left() -> None:
    a, b = pair()
    take(b, send(a, b"1", 100.0), 100.0)
    send(a, b"2", 100.0)  # lost with the subscription
    b.ask(100.1)

    a.receive(say(b, 100.1), NO_BODY, 100.1)
    b.receive(say(a, 100.1), NO_BODY, 100.1)
    a.receive(say(b, 100.1), NO_BODY, 100.1)

    assert numbers(a.leaving(100.1)) == [2]


def test_the_earlier_of_acknowledgement_and_poll_is_due_first() -> None:
    a, b = pair()
    send(b, b"reply", 100.0)
    b.receive(*send(a, b"1", 100.0), 100.0)

    assert b.deadline() == 100.0 + ACK_DELAY_S
