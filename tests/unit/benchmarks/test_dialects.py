"""What clients of the benchmarks make of an answer."""

from __future__ import annotations

import pytest

from benchmarks.dialects import DIALECTS, Conversation

SIZE_BYTES = 32


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answer(dialect: str, text: str) -> bytes:
    return DIALECTS[dialect].answered(text.ljust(SIZE_BYTES, "x")).encode()


@pytest.fixture
def conversation(dialect: str) -> Conversation:
    """Client 7, whose first text was answered and whose second is under way."""
    made = Conversation(7, SIZE_BYTES, dialect)
    made.next()
    made.take(answer(dialect, "7:1:"))
    made.next()
    return made


def test_what_was_said_may_come_back(conversation: Conversation, dialect: str) -> None:
    assert conversation.take(answer(dialect, "7:2:"))
    assert conversation.faults == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [("7:1:", "doubled"), ("8:2:", "misrouted"), ("7:2:y", "altered"), ("hello", "altered")],
)
def test_anything_else_is_counted_by_what_is_wrong(
    conversation: Conversation, dialect: str, text: str, fault: str
) -> None:
    assert not conversation.take(answer(dialect, text))
    assert conversation.faults == {fault: 1}


def test_an_answer_that_comes_again_is_doubled(conversation: Conversation, dialect: str) -> None:
    conversation.take(answer(dialect, "7:2:"))
    conversation.take(answer(dialect, "7:2:"))

    assert conversation.faults == {"doubled": 1}


def test_what_is_never_answered_is_lost(conversation: Conversation) -> None:
    conversation.end()

    assert conversation.faults == {"lost": 1}


def test_an_answer_without_its_frame_is_altered() -> None:
    conversation = Conversation(7, SIZE_BYTES, "gateway")
    conversation.next()

    conversation.take(b"7:1:".ljust(SIZE_BYTES, b"x"))

    assert conversation.faults == {"altered": 1}


def test_a_text_has_the_size_that_was_asked_for() -> None:
    assert len(Conversation(7, SIZE_BYTES, "plain").next()) == SIZE_BYTES
