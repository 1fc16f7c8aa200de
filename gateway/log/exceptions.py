"""What is shown of an exception: its type and where it was raised, never a variable.

Its message only if that was asked for, because messages carry what applications put there.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

FRAMES: Final = 20
DEPTH: Final = 4  # of causes, and of groups in groups
MOST_OF_A_GROUP: Final = 8

_FROM: Final = "The above exception was the direct cause of the following exception:"
_DURING: Final = "During handling of the above exception, another exception occurred:"


def given(exc_info: Any) -> BaseException | None:
    """What logging calls ``exc_info``: an exception, a tuple with one, or true for the current."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


def facts(error: BaseException, *, full: bool, depth: int = DEPTH) -> dict[str, Any]:
    """For machines: of an exception, of what it came from, of what is in it if it is a group.

    Without the latter, all that a failed worker would say is that its tasks failed.
    """
    told: dict[str, Any] = {"exception": type(error).__qualname__}
    if full:
        told["exception_message"] = _message(error)
    told["trace"] = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in _frames(error, lines=False)
    ]
    if depth == 0:
        return told
    cause = _cause(error)
    if cause is not None:
        told["cause"] = facts(cause, full=full, depth=depth - 1)
    if isinstance(error, BaseExceptionGroup):
        some = error.exceptions[:MOST_OF_A_GROUP]
        told["exceptions"] = [facts(each, full=full, depth=depth - 1) for each in some]
    return told


def brief(error: BaseException) -> str:
    """In a few words: its type, and the line that raised it."""
    name = type(error).__qualname__
    for frame in _frames(error, lines=False)[-1:]:
        return f"{name} at {frame.filename}:{frame.lineno} {frame.name}"
    return name


def text(error: BaseException, *, full: bool) -> str:
    """For people: a traceback as Python prints it, with lines of the source."""
    return "\n".join(_lines(error, full=full, depth=DEPTH))


def _lines(error: BaseException, *, full: bool, depth: int) -> Iterator[str]:
    cause = _cause(error)
    if cause is not None and depth:
        yield from _lines(cause, full=full, depth=depth - 1)
        yield from ("", _FROM if error.__cause__ is not None else _DURING, "")
    frames = _frames(error, lines=True)
    if frames:
        yield "Traceback (most recent call last):"
    for frame in frames:
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        if frame.line:
            yield f"    {frame.line}"
    message = _message(error) if full else ""
    yield f"{type(error).__qualname__}: {message}" if message else type(error).__qualname__
    if isinstance(error, BaseExceptionGroup) and depth:
        for each in error.exceptions[:MOST_OF_A_GROUP]:
            yield "  of these:"
            for line in _lines(each, full=full, depth=depth - 1):
                yield f"  | {line}"


def _frames(error: BaseException, *, lines: bool) -> traceback.StackSummary:
    # Read at once, also the lines: a file may change before the record is written.
    return traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__),
        limit=-FRAMES,
        lookup_lines=lines,
        capture_locals=False,
    )


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a record of a failure must not fail
        return "(its message cannot be shown)"
