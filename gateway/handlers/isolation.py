"""Run a coroutine in a context of its own, without a task of its own."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

_T = TypeVar("_T")


@types.coroutine
def isolated(
    coroutine: Coroutine[Any, Any, _T], context: Context, waits_for: object
) -> Generator[Any, Any, _T]:
    """Await the rest of ``coroutine`` with every step of it run inside ``context``.

    The first step, ``context.run(coroutine.send, None)``, is made by the caller, and has returned
    ``waits_for``: most coroutines end with it, and need nothing of this.

    What it sets in context variables is not seen by the awaiting task, and what earlier coroutines
    of that task set is not seen by it. A task of its own would do the same for three times the
    price (one is made and scheduled for every message).

    ``asyncio.current_task()`` inside is the awaiting task. Cancelling that task cancels the
    coroutine.
    """
    step: Any = (False, waits_for)
    while True:
        if step[0]:
            return step[1]  # type: ignore[no-any-return]
        try:
            value = yield step[1]
        except GeneratorExit:
            context.run(coroutine.close)
            raise
        except BaseException as error:
            step = context.run(_throw, coroutine, error)
        else:
            step = context.run(_send, coroutine, value)


def _send(coroutine: Coroutine[Any, Any, Any], value: Any) -> tuple[bool, Any]:
    # StopIteration may not leave a generator (PEP 479): a step says whether it was the last.
    try:
        return False, coroutine.send(value)
    except StopIteration as end:
        return True, end.value


def _throw(coroutine: Coroutine[Any, Any, Any], error: BaseException) -> tuple[bool, Any]:
    try:
        return False, coroutine.throw(error)
    except StopIteration as end:
        return True, end.value
