"""The order of subscribing, step by step, and of giving the subscription back."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.protocol.channel_steps import (
    Deliver,
    Linger,
    Read,
    Refuse,
    Release,
    Reply,
    Settle,
    Wish,
)
from gateway.protocol.recovery import Publication
from gateway.protocol.worker_channel import TRANSITIONS, Event, State, WorkerChannel
from tests.unit.protocol.channel_builders import (
    ANN,
    BOB,
    CAT,
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
