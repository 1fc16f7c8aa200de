"""The checker of one user, against transcripts that were doctored."""

from __future__ import annotations

import pytest

from loadtest.checker import Conversation, Fault, Left, read_line
from loadtest.users.dialects import Answer, Failure, Greeting, Pushed, hear_plain, hear_trace


def said(conversation: Conversation, count: int) -> list[str]:
    """The answers that are due for so many lines, sent at 0 s, 1 s, and so on."""
    return [f"Received:{conversation.say(n, 1e9 + n).text()}" for n in range(count)]


def faults(conversation: Conversation, answers: list[str]) -> list[Fault]:
    """What the checker says of these answers, all at 10 s."""
    heard = [conversation.hear(text, 10.0) for text in answers]
    return [found.fault for found in heard if found.fault is not None]


def test_a_clean_transcript_has_no_fault() -> None:
    conversation = Conversation("ann")

    assert faults(conversation, said(conversation, 5)) == []
    assert conversation.end() == Left(missing=0, in_doubt=0)


def test_latency_counts_from_when_the_line_was_due() -> None:
    conversation = Conversation("ann")
    [answer] = said(conversation, 1)

    assert conversation.hear(answer, 0.25).latency_s == 0.25


def test_a_lost_answer_is_missing_at_the_end() -> None:
    conversation = Conversation("ann")
    first, _, third = said(conversation, 3)

    assert faults(conversation, [first, third]) == []
    assert conversation.end() == Left(missing=1, in_doubt=0)


def test_a_lost_answer_is_missing_even_if_the_connection_closes_later() -> None:
    conversation = Conversation("ann")
    first, _, third, _ = said(conversation, 4)

    assert faults(conversation, [first, third]) == []
    assert conversation.close() == Left(missing=1, in_doubt=1)


def test_a_lost_last_answer_is_missing_at_the_end() -> None:
    conversation = Conversation("ann")

    assert faults(conversation, said(conversation, 3)[:2]) == []
    assert conversation.end() == Left(missing=1, in_doubt=0)


def test_a_doubled_answer_is_told() -> None:
    conversation = Conversation("ann")
    first, second = said(conversation, 2)

    assert faults(conversation, [first, first, second]) == [Fault.DOUBLED]


def test_swapped_answers_are_out_of_order_and_not_missing() -> None:
    conversation = Conversation("ann")
    first, second, third = said(conversation, 3)

    assert faults(conversation, [second, first, third]) == [Fault.OUT_OF_ORDER]
    assert conversation.end() == Left(missing=0, in_doubt=0)


def test_somebody_elses_answer_is_misrouted() -> None:
    ann, ben = Conversation("ann"), Conversation("ben")
    [to_ann], [to_ben] = said(ann, 1), said(ben, 1)

    assert faults(ann, [to_ben, to_ann]) == [Fault.MISROUTED]
    assert ben.end() == Left(missing=1, in_doubt=0)


def test_an_answer_of_an_earlier_connection_is_misrouted() -> None:
    conversation = Conversation("ann")
    [late] = said(conversation, 1)

    assert conversation.close() == Left(missing=0, in_doubt=1)
    assert faults(conversation, [late]) == [Fault.MISROUTED]


@pytest.mark.parametrize("text", ["Received:hello", "ann 1 5", "", "Received:ann 7 5"])
def test_what_nobody_said_is_never_asked_for(text: str) -> None:
    conversation = Conversation("ann")
    said(conversation, 1)

    assert faults(conversation, [text]) == [Fault.UNASKED]


def test_an_error_answers_the_oldest_line() -> None:
    conversation = Conversation("ann")
    _, second = said(conversation, 2)

    assert conversation.fail("no handler").fault is Fault.FAILED
    assert faults(conversation, [second]) == []
    assert conversation.end() == Left(missing=0, in_doubt=0)


def test_a_line_filled_up_to_a_size_is_read_again() -> None:
    line = Conversation("ann").say(0.0, 12.5)

    assert len(line.text(200)) == 200
    assert read_line(line.text(200)) == line


def test_both_dialects_tell_answers_pushes_and_goodbyes_apart() -> None:
    assert hear_plain("Received:x") == Answer("Received:x")
    assert hear_plain("push 1 c") == Pushed("push 1 c")
    assert hear_plain("Bye!!!") == Greeting()
    assert hear_trace('{"text": "x", "handled_by": "w", "attempt": 1}') == Answer("x")
    assert hear_trace('{"error": "x"}') == Failure("x")
    assert hear_trace('{"push": "push 1 c"}') == Pushed("push 1 c")
    assert hear_trace('{"connection": "c", "worker": "w"}') == Greeting()


def test_an_echo_that_comes_as_a_push_is_judged_as_an_echo() -> None:
    assert hear_trace('{"push": "Received:ben 1 5"}') == Answer("Received:ben 1 5")
