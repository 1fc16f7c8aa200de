"""One of several servers asked, without an event loop: who is silent holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from redis.exceptions import RedisError

from gateway.errors import GatewayError
from gateway.redis_support.reconnect import is_timeout

T = TypeVar("T")

PATIENCE_S: Final = 0.25  # until the next is asked as well
FAILURES: Final = (RedisError, OSError, ValueError, GatewayError)  # of a server, or of its answer


def first_answer(
    questions: Iterable[Callable[[float], T]], *, deadline_s: float, errors: list[Exception]
) -> T | None:
    """What the first question returns that does not raise; None if none does in ``deadline_s``.

    They are put in order. The next is put once the last has failed, or has had no answer for
    ``PATIENCE_S``; that one goes on, and may still be the first. So a server that is frozen costs
    ``PATIENCE_S``, and many that are slow cost what the quickest of them takes.

    Not for the supervisor: it forks, and threads of before may still be there.

    Args:
        questions: Each is called in a thread of its own with the seconds that are left. It should
            end by then; nobody waits for one that does not. None is no answer.
        errors: Gets what they raise of ``FAILURES``, and for each that has had no answer a
            TimeoutError in our words. Whatever else they raise is raised.
    """
    silence = TimeoutError(f"no answer within {deadline_s} s")
    ends_at = time.monotonic() + deadline_s
    ended: SimpleQueue[T | Exception] = SimpleQueue()
    under_way = 0
    unasked = iter(questions)
    while True:
        left_s = ends_at - time.monotonic()
        question = next(unasked, None) if left_s > 0 else None
        if question is not None:
            thread = threading.Thread(
                target=_put, args=(question, left_s, ended), name="redis asked", daemon=True
            )
            thread.start()
            under_way += 1
            left_s = min(left_s, PATIENCE_S)
        elif not under_way:
            return None
        try:
            end = ended.get(timeout=max(0.0, left_s))
        except Empty:
            if ends_at <= time.monotonic():
                errors += [silence] * under_way
                return None
            continue
        under_way -= 1
        if not isinstance(end, Exception):
            return end
        if not isinstance(end, FAILURES):
            raise end
        errors.append(silence if is_timeout(end) else end)


def _put(question: Callable[[float], T], left_s: float, ended: SimpleQueue[T | Exception]) -> None:
    try:
        ended.put(question(left_s))
    except Exception as error:  # raised, or kept, by whoever asks
        ended.put(error)
