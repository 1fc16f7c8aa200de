"""What a break, a Resync and a look at the top mean for those who are there."""

from __future__ import annotations

from gateway.protocol.channel_position import Break
from gateway.protocol.channel_steps import (
    Deliver,
    Insufficient,
    Linger,
    Read,
    Refuse,
    Reply,
)
from gateway.protocol.recovery import History, Publication
from gateway.protocol.worker_channel import WorkerChannel
from tests.unit.protocol.channel_builders import (
    ANN,
    BOB,
    CAT,
    DAN,
    PLAIN,
    POSITIONED,
    arrive,
    at,
    history,
    live,
    number_of,
    run,
    since,
    subscribed,
)

# Breaks


def test_a_gap_is_told_to_the_positioned_and_the_rest_goes_on() -> None:
    channel = live((ANN, POSITIONED), (BOB, POSITIONED))
    channel.join(CAT, PLAIN)

    assert arrive(channel, 7) == [
        Deliver(Publication(7, b"7"), (channel.others,)),
        Insufficient((ANN, BOB), Break.GAP),
    ]
    assert not channel.positioned
    assert list(channel.others) == [CAT]
    assert channel.position == at(7)


def test_a_gap_is_to_be_counted_where_nobody_is_told() -> None:
    channel, _ = subscribed((CAT, PLAIN))
    arrive(channel, 5)

    assert arrive(channel, 7)[1:] == [Insufficient((), Break.GAP)]


def test_who_waits_while_the_position_breaks_is_answered_from_a_later_read() -> None:
    channel = live((ANN, POSITIONED))
    [read] = channel.join(BOB, since(4))

    _, insufficient, again = arrive(channel, 7)

    assert insufficient == Insufficient((ANN,), Break.GAP)
    assert channel.read(number_of(read), history(5, 5)) == []
    assert channel.read(number_of(again), history(5, 7)) == [
        Reply(BOB, at(7), recovered=True, publications=run(5, 7))
    ]


def test_who_may_hold_what_a_failover_has_lost_does_not_recover() -> None:
    channel = live((ANN, POSITIONED), top=9)
    channel.join(CAT, PLAIN)

    _, insufficient = arrive(channel, 8)

    assert insufficient == Insufficient((ANN,), Break.LOST_TAIL)
    assert channel.join(ANN, since(9)) == [Reply(ANN, at(8), recovered=False)]
    [read] = channel.join(BOB, since(7))
    assert channel.read(number_of(read), history(8, 8)) == [
        Reply(BOB, at(8), recovered=True, publications=run(8, 8))
    ]


def test_what_a_read_had_before_it_arrived_goes_to_those_who_had_no_read() -> None:
    channel, _ = subscribed((CAT, PLAIN))
    [read] = channel.join(ANN, POSITIONED)
    channel.read(number_of(read), history(1, 5))

    assert arrive(channel, 5) == [Deliver(Publication(5, b"5"), (channel.others,))]
    assert channel.positioned


def test_what_arrived_before_a_break_is_not_held_for_who_comes_after_it() -> None:
    channel = live((ANN, POSITIONED))
    channel.join(CAT, PLAIN)
    channel.look()
    arrive(channel, 6, 7)
    arrive(channel, 7, epoch="b")

    assert channel.join(BOB, since(5, "b")) == []
    assert list(channel.waiting) == [BOB]


def test_who_was_ahead_is_not_so_in_another_epoch() -> None:
    channel = live((ANN, POSITIONED))
    [read] = channel.join(BOB, since(7))
    channel.read(number_of(read), History(at(7)))
    [read] = channel.join(DAN, since(9, "b"))

    insufficient, dan, again, _ = channel.read(number_of(read), History(at(9, "b")))

    assert insufficient == Insufficient((ANN,), Break.OTHER_EPOCH)
    assert dan == Reply(DAN, at(9, "b"), recovered=True, publications=[])
    assert channel.read(number_of(again), history(8, 9, "b"))[0] == Reply(
        BOB, at(9, "b"), recovered=False
    )


# Resyncs and looks


def test_a_resync_compares_with_the_top_and_declares_what_never_comes() -> None:
    channel = live((ANN, POSITIONED))

    [read] = channel.resync()
    assert channel.owes_look
    [settle] = channel.read(number_of(read), History(at(7)))
    assert not channel.owes_look
    insufficient, linger = channel.settled(number_of(settle))

    assert insufficient == Insufficient((ANN,), Break.GAP)
    assert isinstance(linger, Linger)


def test_a_resync_declares_a_lost_tail_at_once() -> None:
    channel = live((ANN, POSITIONED))

    [read] = channel.resync()

    assert channel.read(number_of(read), History(at(4)))[0] == Insufficient((ANN,), Break.LOST_TAIL)


def test_a_look_that_fails_is_owed_still() -> None:
    channel = live((ANN, POSITIONED))
    [read] = channel.resync()

    assert channel.read_failed(number_of(read)) == []
    assert channel.owes_look
    [again] = channel.look()
    assert channel.read(number_of(again), history(1, 5)) == []
    assert not channel.owes_look


def test_a_resync_supersedes_the_read_that_is_under_way() -> None:
    channel, [first] = subscribed((ANN, since(4)))

    [again] = channel.resync()

    assert isinstance(again, Read)
    assert again.after == 4
    assert channel.read(number_of(first), history(5, 5)) == []
    assert channel.read_failed(number_of(first)) == []
    assert channel.read(number_of(again), history(5, 6))[0] == Reply(
        ANN, at(6), recovered=True, publications=run(5, 6)
    )


def test_a_resync_says_nothing_to_who_has_no_subscription() -> None:
    channel = WorkerChannel()
    assert channel.resync() == channel.look() == []
    channel.join(ANN, PLAIN)

    assert channel.resync() == channel.look() == []
    assert not channel.owes_look


def test_a_settling_that_a_later_read_has_superseded_counts_for_nothing() -> None:
    channel = live((ANN, POSITIONED))
    [first] = channel.look()
    [settle] = channel.read(number_of(first), History(at(6)))
    [second] = channel.look()
    channel.read(number_of(second), History(at(7)))

    assert channel.settled(number_of(settle)) == []
    assert list(channel.positioned) == [ANN]


def test_a_read_that_fails_is_refused_to_who_waits_for_it() -> None:
    channel, [_, read] = subscribed((ANN, POSITIONED), (CAT, PLAIN))

    assert channel.read_failed(number_of(read)) == [Refuse(ANN)]
    assert not channel.waiting
    assert list(channel.others) == [CAT]
