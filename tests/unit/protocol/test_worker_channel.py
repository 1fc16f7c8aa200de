"""The order of subscribing, step by step."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.protocol.channel_position import Break, Position
from gateway.protocol.channel_steps import (
    Deliver,
    Insufficient,
    Linger,
    Read,
    Refuse,
    Release,
    Reply,
    Settle,
    Step,
    Subscribe,
    Wish,
)
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import MAX_RECOVERED, History, Publication
from gateway.protocol.worker_channel import TRANSITIONS, Event, State, WorkerChannel

ANN, BOB, CAT, DAN = (ConnectionId(name) for name in ("ann", "bob", "cat", "dan"))
PLAIN = Wish()
POSITIONED = Wish(positioned=True)


def at(offset: int, epoch: str = "a") -> Position:
    return Position(epoch, offset)


def since(offset: int, epoch: str = "a") -> Wish:
    return Wish(positioned=True, since=at(offset, epoch))


def run(first: int, last: int) -> list[Publication]:
    return [Publication(n, str(n).encode()) for n in range(first, last + 1)]


def history(first: int, last: int, epoch: str = "a") -> History:
    return History(at(last, epoch), run(first, last))


def number_of(step: Step) -> int:
    assert isinstance(step, Subscribe | Read | Settle | Linger)
    return step.number


def arrive(channel: WorkerChannel, *offsets: int, epoch: str = "a") -> list[Step]:
    steps = []
    for offset in offsets:
        steps += channel.arrived(epoch, Publication(offset, str(offset).encode()))
    return steps


def subscribed(*joining: tuple[ConnectionId, Wish]) -> tuple[WorkerChannel, list[Step]]:
    """A channel whose SUBSCRIBE is acknowledged, and the steps that this has led to."""
    channel = WorkerChannel()
    steps = [step for who, wish in joining for step in channel.join(who, wish)]
    return channel, channel.acknowledged(number_of(steps[0]))


def live(*joining: tuple[ConnectionId, Wish], top: int = 5) -> WorkerChannel:
    """A channel at ``top`` to which all of these have subscribed, with nothing under way."""
    channel, [read] = subscribed(*joining)
    steps = channel.read(number_of(read), history(1, top))
    channel.settled(number_of(steps[-1]))
    assert not channel.waiting
    return channel


# States


def test_the_legal_moves_are_these() -> None:
    channel = WorkerChannel()
    moved = set()
    for state, event in product(State, Event):
        channel.state = state
        channel._move(event)
        if channel.state is not state:
            moved.add((state, event, channel.state))

    assert moved == {(*pair, state) for pair, state in TRANSITIONS.items()}
    assert {state for _, _, state in moved} == set(State)


def test_the_first_subscriber_waits_for_the_acknowledgement_and_the_history() -> None:
    channel = WorkerChannel()

    [subscribe] = channel.join(ANN, since(3))
    assert channel.arrived("a", Publication(4, b"4")) == []
    [read] = channel.acknowledged(number_of(subscribe))
    assert isinstance(read, Read)
    assert read.after == 3
    reply, settle = channel.read(read.number, history(4, 5))

    assert reply == Reply(ANN, at(5), recovered=True, publications=run(4, 5))
    assert isinstance(settle, Settle)
    assert channel.settled(settle.number) == []
    assert list(channel.positioned) == [ANN]


def test_who_is_not_positioned_needs_no_history() -> None:
    channel, steps = subscribed((ANN, PLAIN))

    assert steps == [Reply(ANN)]
    assert channel.join(BOB, PLAIN) == [Reply(BOB)]
    assert arrive(channel, 0) == [
        Deliver(Publication(0, b"0"), (channel.positioned, channel.others))
    ]
    assert list(channel.others) == [ANN, BOB]


def test_those_who_wait_for_the_acknowledgement_share_one_read() -> None:
    channel, [read] = subscribed((ANN, since(3)), (BOB, since(2)), (CAT, POSITIONED))

    assert isinstance(read, Read)
    assert read.after == 2
    assert channel.read(read.number, history(3, 4))[:-1] == [
        Reply(ANN, at(4), recovered=True, publications=run(4, 4)),
        Reply(BOB, at(4), recovered=True, publications=run(3, 4)),
        Reply(CAT, at(4)),
    ]


def test_a_subscription_that_the_broker_refuses_is_refused_to_all() -> None:
    channel = WorkerChannel()
    [subscribe] = channel.join(ANN, PLAIN)
    channel.join(BOB, POSITIONED)

    assert channel.failed(number_of(subscribe)) == [Refuse(ANN), Refuse(BOB)]
    assert channel.state is State.RELEASED
    assert channel.empty
    assert channel.failed(number_of(subscribe)) == []


def test_an_acknowledgement_of_an_earlier_subscription_counts_for_nothing() -> None:
    channel = WorkerChannel()
    [first] = channel.join(ANN, PLAIN)
    channel.failed(number_of(first))
    [second] = channel.join(ANN, PLAIN)

    assert channel.acknowledged(number_of(first)) == []
    assert channel.failed(number_of(first)) == []
    assert channel.acknowledged(number_of(second)) == [Reply(ANN)]


# Late subscribers


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


# The end


def test_the_subscription_is_given_back_when_nobody_has_come_back() -> None:
    channel = live((ANN, POSITIONED))

    [linger] = channel.leave(ANN)

    assert channel.position == at(5)
    assert channel.lingered(number_of(linger)) == [Release()]
    assert channel.state is State.RELEASED
    assert channel.position is None
    assert arrive(channel, 6) == []


def test_who_comes_back_in_time_finds_the_position_as_it_was() -> None:
    channel = live((ANN, POSITIONED))
    [linger] = channel.leave(ANN)
    arrive(channel, 6)

    assert channel.join(BOB, since(6)) == [Reply(BOB, at(6), recovered=True, publications=[])]
    assert channel.lingered(number_of(linger)) == []
    [later] = channel.leave(BOB)
    assert channel.lingered(number_of(linger)) == []
    assert channel.lingered(number_of(later)) == [Release()]


def test_who_leaves_before_the_acknowledgement_leaves_a_subscription_to_give_back() -> None:
    channel = WorkerChannel()
    [subscribe] = channel.join(ANN, POSITIONED)

    assert channel.leave(ANN) == []
    [linger] = channel.acknowledged(number_of(subscribe))
    assert isinstance(linger, Linger)


def test_who_leaves_while_the_history_is_read_is_not_answered() -> None:
    channel, [read] = subscribed((ANN, POSITIONED))

    [linger] = channel.leave(ANN)
    assert channel.lingered(number_of(linger)) == [Release()]
    assert channel.read(number_of(read), history(1, 5)) == []


@pytest.mark.parametrize("wish", [PLAIN, POSITIONED])
def test_who_leaves_is_sent_nothing_more(wish: Wish) -> None:
    channel = live((ANN, POSITIONED))
    channel.join(BOB, wish)

    assert channel.leave(BOB) == []
    assert channel.leave(BOB) == []
    [delivery] = arrive(channel, 6)
    assert isinstance(delivery, Deliver)
    assert [list(some) for some in delivery.to] == [[ANN], []]
