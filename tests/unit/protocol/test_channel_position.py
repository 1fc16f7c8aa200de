"""What a publication or a look at the top means for a worker's position."""

from __future__ import annotations

import pytest

from gateway.protocol.channel_position import Arrival, Break, ChannelPosition, Position


def at(offset: int, epoch: str = "a") -> Position:
    return Position(epoch, offset)


def live_at(offset: int) -> ChannelPosition:
    """It has come so far by what arrived."""
    position = ChannelPosition()
    position.arrived(at(offset))
    return position


def read_to(offset: int) -> ChannelPosition:
    """It has come so far by a read."""
    position = ChannelPosition()
    position.read(position.look(), at(offset))
    return position


def test_the_first_that_arrives_says_where_the_worker_is() -> None:
    position = ChannelPosition()

    assert position.arrived(at(7)) is Arrival.NEXT
    assert position.position == at(7)


@pytest.mark.parametrize(
    ("arrives", "means"),
    [
        (at(6), Arrival.NEXT),
        (at(7), Break.GAP),
        (at(1_000), Break.GAP),
        (at(6, "b"), Break.OTHER_EPOCH),
        (at(1, "b"), Break.OTHER_EPOCH),
        (at(5), Break.LOST_TAIL),
        (at(1), Break.LOST_TAIL),
    ],
)
def test_what_arrives_is_the_next_or_a_break_and_the_worker_is_there(
    arrives: Position, means: Arrival | Break
) -> None:
    position = live_at(5)

    assert position.arrived(arrives) is means
    assert position.position == arrives
    assert position.breaks == isinstance(means, Break)


# What was read before it arrived


def test_what_was_read_may_arrive_afterwards() -> None:
    position = read_to(5)

    assert [position.arrived(at(n)) for n in (3, 4, 5)] == [Arrival.KNOWN] * 3
    assert position.position == at(5)
    assert position.arrived(at(6)) is Arrival.NEXT


def test_what_was_read_arrives_once() -> None:
    position = read_to(5)
    position.arrived(at(5))

    assert position.arrived(at(5)) is Break.LOST_TAIL


def test_what_was_read_arrives_in_order() -> None:
    position = read_to(5)
    position.arrived(at(4))

    assert position.arrived(at(4)) is Break.LOST_TAIL


def test_what_was_read_does_not_arrive_after_the_next() -> None:
    position = read_to(5)
    position.arrived(at(6))

    assert position.arrived(at(5)) is Break.LOST_TAIL


def test_what_was_read_does_not_arrive_once_the_read_is_settled() -> None:
    position = read_to(5)
    assert position.unsettled(at(5))
    position.settled(position.look(), at(5))

    assert not position.unsettled(at(5))
    assert position.arrived(at(5)) is Break.LOST_TAIL


# Looks


@pytest.mark.parametrize("top", [5, 6, 600])
def test_a_top_that_is_not_below_is_no_break_before_it_is_settled(top: int) -> None:
    position = live_at(5)

    assert position.read(position.look(), at(top)) is None
    assert position.position == at(5)
    assert position.unsettled(at(top)) == (top > 5)


def test_a_top_that_has_not_arrived_when_it_is_settled_is_a_gap() -> None:
    position = live_at(5)
    look = position.look()
    position.read(look, at(7))
    position.arrived(at(6))

    assert position.settled(look, at(7)) is Break.GAP
    assert position.position == at(7)
    assert position.arrived(at(8)) is Arrival.NEXT


def test_a_top_that_has_arrived_when_it_is_settled_is_no_gap() -> None:
    position = live_at(5)
    look = position.look()
    position.read(look, at(6))
    position.arrived(at(6))

    assert position.settled(look, at(6)) is None


@pytest.mark.parametrize(
    ("top", "why"),
    [
        (at(4), Break.LOST_TAIL),
        (at(0), Break.LOST_TAIL),
        (at(0, "b"), Break.OTHER_EPOCH),
        (at(9, "b"), Break.OTHER_EPOCH),
    ],
)
def test_a_top_that_is_below_or_in_another_epoch_is_a_break(top: Position, why: Break) -> None:
    position = live_at(5)

    assert position.read(position.look(), top) is why
    assert position.position == top
    assert position.unsettled(top)


def test_a_top_that_was_passed_meanwhile_is_no_break() -> None:
    position = live_at(5)
    look = position.look()
    position.arrived(at(6))

    assert position.read(look, at(5)) is None
    assert position.settled(look, at(5)) is None
    assert position.position == at(6)


def test_a_look_from_before_a_break_says_nothing() -> None:
    position = live_at(5)
    look = position.look()
    position.arrived(at(1, "b"))

    assert position.read(look, at(9)) is None
    assert position.read(look, at(9, "b")) is None
    assert position.settled(look, at(9, "b")) is None
    assert position.position == at(1, "b")


def test_a_look_from_when_nothing_was_known_breaks_nothing() -> None:
    position = ChannelPosition()
    look = position.look()
    position.arrived(at(5))

    assert position.read(look, at(4)) is None
    assert position.read(look, at(0, "b")) is None
    assert position.position == at(5)
    assert not position.unsettled(at(9, "b"))


def test_nothing_is_unsettled_where_nothing_is_known() -> None:
    position = ChannelPosition()

    assert not position.unsettled(at(1))
    assert position.settled(position.look(), at(1)) is None
    assert not position.doubtful(at(1))


# Offsets that are given out again


def test_offsets_that_were_given_out_twice_are_in_doubt() -> None:
    position = live_at(9)
    position.arrived(at(7))

    assert [n for n in range(12) if position.doubtful(at(n))] == [7, 8, 9]
    assert position.doubtful(at(8, ""))
    assert not position.doubtful(at(8, "b"))


def test_offsets_that_will_be_given_out_again_are_in_doubt() -> None:
    position = live_at(9)
    position.read(position.look(), at(7))

    assert [n for n in range(12) if position.doubtful(at(n))] == [8, 9]


def test_the_doubt_grows_with_each_loss_and_ends_with_the_epoch() -> None:
    position = live_at(9)
    for offset in (8, 9, 10, 11, 6):
        position.arrived(at(offset))

    assert [n for n in range(14) if position.doubtful(at(n))] == [6, 7, 8, 9, 10, 11]
    position.arrived(at(1, "b"))
    assert not any(position.doubtful(at(n, "b")) for n in range(14))
