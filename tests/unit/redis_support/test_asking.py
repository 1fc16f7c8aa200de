"""Several who may know the same, asked together or in turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.redis_support.asking import ASK_S, answers_in_turn, answers_of, looked_at


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time


def test_in_turn_each_leaves_the_others_half_of_what_is_left() -> None:
    """But the last, and nobody has more than ``ASK_S``. Red when the first may take all."""
    clock, left, errors = Clock(), [], list[Exception]()

    def ask(_one: str, left_s: float) -> str:
        left.append(left_s)
        clock.time += left_s
        raise OSError("silent")

    ends_at = clock.now() + 4 * ASK_S
    assert list(answers_in_turn("abc", ask, errors, ends_at=ends_at, now=clock.now)) == []

    assert left == [ASK_S, ASK_S, 2 * ASK_S]
    assert len(errors) == 3
    assert list(answers_in_turn("abc", ask, errors, ends_at=ends_at, now=clock.now)) == []
    assert len(left) == 3  # nothing is left for anybody


def test_in_turn_who_need_not_be_asked_is_not() -> None:
    asked: list[str] = []

    def ask(one: str, _left_s: float) -> str:
        asked.append(one)
        if one == "b":
            raise LookupError(one)
        return one

    errors: list[Exception] = []
    assert next(answers_in_turn("abc", ask, errors, ends_at=Clock().now(), now=lambda: 0.0)) == "a"
    assert asked == ["a"]
    assert list(answers_in_turn("abc", ask, errors, ends_at=9.0, now=lambda: 0.0)) == ["a", "c"]
    assert [type(error) for error in errors] == [LookupError]


async def test_together_the_others_are_waited_for_until_enough_was_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody is broken off. Red when one that is silent is waited for to its end."""
    monkeypatch.setattr("gateway.redis_support.asking.OTHERS_S", 0.0)
    silent: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def say(what: Any) -> int:
        if isinstance(what, Exception):
            raise what
        return await what if what is silent else what

    asking = {asyncio.create_task(say(what)) for what in (1, OSError("gone"), 2, silent)}
    for task in asking:
        task.add_done_callback(looked_at)
    errors: list[Exception] = []

    answers = await answers_of(asking, errors, enough=lambda said: said == 2)

    assert sorted(answers) == [1, 2]
    assert [str(error) for error in errors] == ["gone"]
    [left] = [task for task in asking if not task.done()]
    silent.set_result(3)
    assert await left == 3
