"""What leaves, and what need not leave again."""

from __future__ import annotations

from gateway.protocol.send_buffer import SendBuffer


def test_what_was_taken_for_lost_and_arrived_after_all_does_not_leave_again() -> None:
    out = SendBuffer(selective=True)
    out.append(b"one")
    out.append(b"two")
    for serial, kept in enumerate(out.leave(), 1):
        kept.serial = serial
    out.settle(0, 2, ())  # both are lost

    out.settle(1, 2, ())  # but the first one was only late

    assert [kept.body for kept in out.leave()] == [b"two"]
    assert out.repeats == 1


def test_a_batch_in_pieces_is_as_long_as_they_are() -> None:
    out = SendBuffer(selective=True)
    out.append((b"one", b"two!"))

    assert out.kept_bytes == 7
    assert [kept.body for kept in out.leave()] == [(b"one", b"two!")]
