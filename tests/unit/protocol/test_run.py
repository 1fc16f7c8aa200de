"""Messages that leave together."""

from __future__ import annotations

from gateway.protocol.frames import text_frames
from gateway.protocol.run import Run


def test_a_run_is_framed_once_and_counted() -> None:
    run = Run([b"one", b"two!"])

    assert run.framed == text_frames([b"one"]) + text_frames([b"two!"])
    assert (run.count, run.size_bytes, run.at_once) == (2, 7, False)
    assert run.messages == [b"one", b"two!"]


def test_a_run_may_be_the_only_one_of_its_turn() -> None:
    assert Run([b"one"], at_once=True).at_once
