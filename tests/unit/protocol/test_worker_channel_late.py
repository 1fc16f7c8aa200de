"""Who comes to a channel that others have subscribed to already."""

from __future__ import annotations

from gateway.protocol.channel_position import Break
from gateway.protocol.channel_steps import (
    Deliver,
    Insufficient,
    Read,
    Reply,
    Settle,
)
from gateway.protocol.recovery import MAX_RECOVERED, History, Publication
from tests.unit.protocol.channel_builders import (
    ANN,
    BOB,
    CAT,
    DAN,
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


def test_who_is_where_the_worker_is_needs_no_read() -> None:
    channel = live((ANN, POSITIONED))

    assert channel.join(BOB, since(5)) == [Reply(BOB, at(5), recovered=True, publications=[])]
    assert channel.join(CAT, POSITIONED) == [Reply(CAT, at(5))]
    assert channel.join(DAN, since(5, "")) == [Reply(DAN, at(5), recovered=True, publications=[])]


def test_late_subscribers_share_a_read_that_covers_them() -> None:
    channel = live((ANN, POSITIONED))

    [read] = channel.join(BOB, since(2))
    assert channel.join(CAT, since(3)) == []
    assert channel.join(DAN, since(1)) == []
    arrive(channel, 6)
    bob, cat, again = channel.read(number_of(read), history(3, 5))

    assert bob == Reply(BOB, at(6), recovered=True, publications=run(3, 6))
    assert cat == Reply(CAT, at(6), recovered=True, publications=run(4, 6))
    assert isinstance(again, Read)
    assert again.after == 1
    assert channel.read(again.number, history(2, 6)) == [
        Reply(DAN, at(6), recovered=True, publications=run(2, 6))
    ]


def test_who_has_missed_more_than_is_recovered_is_told_without_a_read() -> None:
    channel = live((ANN, POSITIONED), top=400)

    assert channel.join(BOB, since(99)) == [Reply(BOB, at(400), recovered=False)]
    [read] = channel.join(CAT, since(100))
    [reply] = channel.read(number_of(read), history(101, 400))
    assert reply == Reply(CAT, at(400), recovered=True, publications=run(101, 400))


def test_who_has_missed_too_much_does_not_widen_the_read_of_the_others() -> None:
    channel, [read] = subscribed((ANN, since(0)), (BOB, since(399)))
    arrive(channel, 400)
    [again] = channel.look()
    assert channel.read(number_of(read), history(101, 400)) == []

    assert isinstance(again, Read)
    assert again.after == 399
    assert channel.read(again.number, history(400, 400)) == [
        Reply(BOB, at(400), recovered=True, publications=run(400, 400)),
        Reply(ANN, at(400), recovered=False),
    ]


def test_what_is_held_is_bounded_by_what_is_recovered() -> None:
    channel = live((ANN, POSITIONED))
    [read] = channel.join(BOB, since(4))
    arrive(channel, *range(6, 6 + MAX_RECOVERED))

    assert len(channel._held) == MAX_RECOVERED
    [reply] = channel.read(number_of(read), history(5, 5))
    assert reply == Reply(BOB, at(5 + MAX_RECOVERED), recovered=False)
    assert not channel._held


def test_who_comes_from_another_epoch_is_told_only_after_a_read() -> None:
    """Perhaps it is the worker whose epoch is the old one."""
    channel = live((ANN, POSITIONED))

    [read] = channel.join(BOB, since(1, "b"))
    insufficient, bob, settle = channel.read(number_of(read), history(2, 2, "b"))

    assert insufficient == Insufficient((ANN,), Break.OTHER_EPOCH)
    assert bob == Reply(BOB, at(2, "b"), recovered=True, publications=run(2, 2))
    assert isinstance(settle, Settle)


def test_who_has_come_further_than_the_worker_waits_until_it_has_caught_up() -> None:
    channel = live((ANN, POSITIONED), (CAT, POSITIONED))

    [read] = channel.join(BOB, since(7))
    [settle] = channel.read(number_of(read), History(at(8)))
    assert arrive(channel, 6) == [
        Deliver(Publication(6, b"6"), (channel.positioned, channel.others))
    ]
    assert arrive(channel, 7) == [
        Deliver(Publication(7, b"7"), ((ANN, CAT), ())),
        Reply(BOB, at(7), recovered=True, publications=[]),
    ]
    arrive(channel, 8)
    assert channel.settled(number_of(settle)) == []


def test_who_has_come_further_need_not_name_the_epoch() -> None:
    channel = live((ANN, POSITIONED))
    [read] = channel.join(BOB, since(6, ""))
    channel.read(number_of(read), History(at(6)))

    assert arrive(channel, 6)[1:] == [Reply(BOB, at(6), recovered=True, publications=[])]


def test_who_has_come_further_than_the_stream_has_lost_its_tail() -> None:
    channel = live((ANN, POSITIONED))

    [read] = channel.join(BOB, since(7))

    assert channel.read(number_of(read), history(1, 5)) == [Reply(BOB, at(5), recovered=False)]


def test_who_waits_for_the_worker_to_catch_up_may_leave() -> None:
    channel = live((ANN, POSITIONED))
    [read] = channel.join(BOB, since(6))
    channel.read(number_of(read), History(at(6)))

    assert channel.leave(BOB) == []
    assert arrive(channel, 6) == [
        Deliver(Publication(6, b"6"), (channel.positioned, channel.others))
    ]
