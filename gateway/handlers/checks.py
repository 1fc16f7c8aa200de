"""What is no handler is refused where it is registered, in one line that says what would do."""

from __future__ import annotations

import functools
import inspect


def described(handler: object) -> str:
    """A handler as people find it: its name, and the line where it begins."""
    plain = handler
    while isinstance(plain, functools.partial):
        plain = plain.func
    name = getattr(plain, "__qualname__", repr(plain))
    code = getattr(inspect.unwrap(plain) if callable(plain) else plain, "__code__", None)
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"


def check_handler(kind: str, handler: object, *, wanted: str) -> None:
    """Refuse at once what would fail at every call.

    Args:
        kind: ``on_message`` and the like.
        wanted: What its one argument would be called.

    Raises:
        TypeError: In one line, what would be right.
    """
    name = described(handler)
    if inspect.isasyncgenfunction(handler):
        raise TypeError(
            f"{name} yields: an {kind} handler returns; send parts with `await gateway.send(…)`"
        )
    if not inspect.iscoroutinefunction(handler):
        raise TypeError(f"{name} must be an `async def` function to be an {kind} handler")
    try:
        inspect.signature(handler).bind(None)
    except TypeError:
        takes = f"{inspect.signature(handler)}"
        raise TypeError(
            f"{name} must take one argument to be an {kind} handler, as `async def f({wanted})` "
            f"does; it has {takes}"
        ) from None


class WrongAnswer(TypeError):
    """A handler returned what cannot be answered. Its text is ours, and may be logged."""
