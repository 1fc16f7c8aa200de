"""Several who may know the same: asked at once on an event loop, in turn without one.

In turn, since a supervisor asks: it forks, and has no threads (``first_answer`` is for others).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from redis.exceptions import RedisError

P = TypeVar("P")
T = TypeVar("T")

ASK_S: Final = 1.0  # how long one may take
OTHERS_S: Final = 0.1  # how long the others may, once one has answered
FAILURES: Final = (RedisError, OSError, LookupError, ValueError)  # of one, or of what it said

Now = Callable[[], float]


async def answers_of(
    asking: set[asyncio.Task[T]],
    errors: list[Exception],
    *,
    enough: Callable[[T], bool] = lambda _answer: True,
    now: Now = time.monotonic,
) -> list[T]:
    """What they answer; of those that take longer than ``OTHERS_S`` after enough was said, nothing.

    Nobody is broken off: a connection that is cancelled while it is made may leave its socket
    behind (uvloop). Each ends by itself, and ``looked_at`` is to be told.

    Args:
        errors: Gets what they fail with.
        enough: Whether the others need not be waited for.
    """
    answers: list[T] = []
    ends_at = None
    while asking:
        timeout = None if ends_at is None else max(0.0, ends_at - now())
        done, asking = await asyncio.wait(
            asking, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            break
        for task in done:
            error = task.exception()
            if error is None:
                answers.append(task.result())
            elif isinstance(error, Exception):
                errors.append(error)
        if ends_at is None and any(enough(answer) for answer in answers):
            ends_at = now() + OTHERS_S
    return answers


def answers_in_turn(
    several: Sequence[P],
    ask: Callable[[P, float], T],
    errors: list[Exception],
    *,
    ends_at: float,
    now: Now = time.monotonic,
) -> Iterator[T]:
    """What each answers. All of them have until then: one that is silent leaves the others some.

    Args:
        ask: Asks one, for so many seconds. It may raise what is in ``FAILURES``.
        errors: Gets that.
    """
    for number, one in enumerate(several, 1):
        left_s = ends_at - now()
        if left_s <= 0:
            return
        if number < len(several):
            left_s = min(ASK_S, left_s / 2)
        try:
            answer = ask(one, left_s)
        except FAILURES as error:
            errors.append(error)
        else:
            yield answer


def looked_at(ended: asyncio.Future[Any]) -> None:
    """How it ended is not told as lost: whoever waited has it, and perhaps nobody did."""
    if not ended.cancelled():
        ended.exception()
