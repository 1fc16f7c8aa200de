"""How long an acknowledgement waits for something to ride on."""

from __future__ import annotations

from gateway.protocol.envelopes.wire import VERSION
from gateway.protocol.link import ACK_DELAY_S, ACK_RIDE_S, ACK_SOON_BYTES, Link
from gateway.protocol.retransmit_timer import SILENCE_S, RetransmitTimer
from tests.support.link_ends import A, B, say, send

NOW = 100.0


def ends() -> tuple[Link, Link]:
    return Link(A, version=VERSION, now=NOW), Link(B, version=VERSION, now=NOW)


def test_a_small_batch_is_acknowledged_alone_only_after_a_long_while() -> None:
    a, b = ends()
    b.receive(*send(a, b"1", NOW), NOW)
    b.receive(*send(a, b"2", NOW), NOW + 0.1)

    assert not b.leaving(NOW + ACK_RIDE_S - 0.001)
    assert say(b, NOW + ACK_RIDE_S).ack == 2


def test_much_is_acknowledged_soon_for_the_peer_may_wait_for_room() -> None:
    """Red where a link carries its room once a long while."""
    a, b = ends()
    half = bytes(ACK_SOON_BYTES // 2)
    b.receive(*send(a, half, NOW), NOW)
    assert b.deadline() == NOW + ACK_RIDE_S
    b.receive(*send(a, half, NOW), NOW + 0.01)
    assert b.deadline() == NOW + 0.01 + ACK_DELAY_S
    say(b, NOW + 0.1)

    b.receive(*send(a, half, NOW + 0.1), NOW + 0.1)  # and then there is little again
    assert b.deadline() == NOW + 0.1 + ACK_RIDE_S


def test_what_was_to_leave_soon_is_put_off_by_nothing_that_comes_later() -> None:
    a, b = ends()
    b.receive(*send(a, b"1", NOW), NOW)
    b.receive(*send(a, bytes(ACK_SOON_BYTES), NOW), NOW + ACK_RIDE_S - 0.01)

    assert b.deadline() == NOW + ACK_RIDE_S


def test_ends_hurry_from_then_on_and_with_what_they_owe_already() -> None:
    a, b = ends()
    b.receive(*send(a, b"1", NOW), NOW)
    b.hurry(NOW + 0.1)
    assert b.deadline() == NOW + 0.1 + ACK_DELAY_S
    b.hurry(NOW + 0.2)
    assert b.deadline() == NOW + 0.1 + ACK_DELAY_S
    say(b, NOW + 0.2)

    b.receive(*send(a, b"2", NOW + 0.2), NOW + 0.2)
    assert b.deadline() == NOW + 0.2 + ACK_DELAY_S


def test_a_ride_is_no_silence_on_a_short_way() -> None:
    """Whatever comes of round trips with and without it, nobody asks after what only rides."""
    patience = RetransmitTimer()
    for number in range(100):
        patience.measured(ACK_RIDE_S + 0.025 if number % 3 else 0.001)
        assert patience.silence_s == SILENCE_S
