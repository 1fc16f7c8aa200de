from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.redis_support import first_answer as module
from gateway.redis_support.first_answer import first_answer

Question = Callable[[float], str]


@pytest.fixture
def over(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until then who is silent is silent."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.02)
    event = threading.Event()
    yield event
    event.set()


def says(answer: str) -> Question:
    return lambda _left_s: answer


def fails(error: Exception) -> Question:
    def question(_left_s: float) -> str:
        raise error

    return question


def test_who_answers_at_once_is_the_only_one_asked() -> None:
    def questions() -> Iterator[Question]:
        yield says("first")
        raise AssertionError

    assert first_answer(questions(), deadline_s=5, errors=[]) == "first"


def test_who_is_silent_holds_up_nobody(over: threading.Event) -> None:
    def silent(_left_s: float) -> str:
        over.wait()
        return "late"

    began = time.monotonic()
    assert first_answer([silent, says("next")], deadline_s=30, errors=[]) == "next"
    assert time.monotonic() - began < 10


def test_of_many_that_are_slow_the_quickest_is_heard(over: threading.Event) -> None:
    """Red when one is given up as the next is asked: nobody would be heard."""
    asked = threading.Event()

    def silent(_left_s: float) -> str:
        asked.set()
        over.wait()
        return "late"

    def slow(_left_s: float) -> str:
        asked.wait()
        return "slow"

    assert first_answer([slow, silent], deadline_s=30, errors=[]) == "slow"


@pytest.mark.parametrize("late", [TimeoutError(), RedisTimeoutError("Timeout reading")])
def test_silence_is_told_in_the_same_words_whoever_notices_it_first(late: Exception) -> None:
    errors: list[Exception] = []

    assert first_answer([fails(late)], deadline_s=5, errors=errors) is None
    assert [str(error) for error in errors] == ["no answer within 5 s"]


def test_the_next_is_asked_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 30)
    errors: list[Exception] = []
    refused = RedisConnectionError("refused")
    began = time.monotonic()

    assert first_answer([fails(refused), says("next")], deadline_s=30, errors=errors) == "next"
    assert first_answer([fails(refused)], deadline_s=30, errors=errors) is None
    assert time.monotonic() - began < 10
    assert errors == [refused, refused]


def test_nobody_is_waited_for_without_end(over: threading.Event) -> None:
    left: list[float] = []

    def silent(left_s: float) -> str:
        left.append(left_s)
        over.wait()
        return "late"

    errors: list[Exception] = []

    assert first_answer([silent, silent], deadline_s=0.1, errors=errors) is None
    assert [type(error) for error in errors] == [TimeoutError] * 2
    assert 0.1 >= left[0] > left[1] > 0
    assert first_answer([silent], deadline_s=0, errors=errors) is None
    assert len(left) == 2


def test_a_fault_of_ours_is_no_failure_of_theirs() -> None:
    with pytest.raises(KeyError):
        first_answer([fails(KeyError("ours")), says("next")], deadline_s=5, errors=[])
