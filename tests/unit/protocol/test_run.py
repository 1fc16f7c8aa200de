"""Messages that leave together."""

from __future__ import annotations

from gateway.protocol.frames import text_frames
from gateway.protocol.run import Run
from gateway.protocol.write_group import WriteGroup


def test_a_run_is_framed_once_and_counted() -> None:
    run = Run([b"one", b"two!"])

    assert run.framed == text_frames([b"one"]) + text_frames([b"two!"])
    assert (run.count, run.size_bytes, run.group) == (2, 7, None)
    assert run.messages == [b"one", b"two!"]


def test_a_run_may_have_a_group_that_takes_such_at_once() -> None:
    group = WriteGroup()

    assert Run([b"one"], group=group).group is group
