"""What Python code gives: checked where it comes in, before anything is done.

Every error says which argument it is, what came and what would be right. What is of a class of its
own, such as a template's text, is made one that any encoder takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def plain(text: str) -> str:
    """The same as no other class than ``str``: that of a template for instance cannot be sent."""
    return str.__str__(text)


def text(name: str, value: object, otherwise: str = "") -> str:
    """A text.

    Args:
        otherwise: What to do with what is none.

    Raises:
        TypeError: It is none.
        UnicodeEncodeError: It has half of a surrogate pair in it.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} is {type(value).__name__}, not str{otherwise}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            why = f"{name} has half of a surrogate pair in it, and must be Unicode"
            raise UnicodeEncodeError("utf-8", value, error.start, error.end, why) from None
    return plain(value)


def key(name: str, value: object, *, of: str) -> str | None:
    """A key of idempotency, or None.

    Args:
        of: What it names.

    Raises:
        TypeError, UnicodeEncodeError: It is no text.
        ValueError: It is empty.
    """
    if value is None:
        return None
    if value == "":
        raise ValueError(f"{name} is empty: give one that names what is {of}, or None")
    return text(name, value, " or None")


def whole(name: str, value: object) -> int:
    """A whole number.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}, not int")
    return int(value)


def within(name: str, value: object, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``.

    Raises:
        TypeError: It is none.
        ValueError: It is another one.
    """
    number = whole(name, value)
    if not low <= number <= high:
        raise ValueError(f"{name}={_shown(number)} is not {low} to {high}")
    return number


def seconds(name: str, value: object) -> float:
    """A number above 0.

    Raises:
        TypeError: It is none.
        ValueError: It is 0 or less, or no number.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}, not a number of seconds")
    if not value > 0:
        raise ValueError(f"{name}={value} is not above 0")
    return value


def switch(name: str, value: object) -> bool:
    """True or False: of anything else, ``"no"`` for instance, nobody knows what it would mean.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}, not bool")
    return value


def texts(name: str, value: object, one: str) -> list[str]:
    """Several texts in their order.

    Args:
        one: What each is.

    Raises:
        TypeError: It is no sequence, which a set or a generator is not either; or one is no text.
        UnicodeEncodeError: As of ``text``.
    """
    if isinstance(value, str):
        raise TypeError(f"{name} is one str: give a list of {one}s")
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{name} is {type(value).__name__}, not a list of {one}s")
    return [text(f"{name}[{at}]", each) for at, each in enumerate(value)]


def mapping(name: str, value: object) -> dict[str, str]:
    """Texts by their names. None has none.

    Raises:
        TypeError: It is no mapping, or something in it is no text.
        UnicodeEncodeError: As of ``text``.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is {type(value).__name__}, not a mapping of str to str")
    told = {}
    for each, said in value.items():
        told[text(f"a name in {name}", each)] = text(f"{name}[{_shown(each)}]", said)
    return told


def instance(name: str, value: object, kind: type[T], wanted: str | None = None) -> T:
    """One of a class.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, kind):
        given = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} is {given}, not {wanted or kind.__name__}")
    return value


def _shown(value: Any) -> str:
    """At most a line, whatever it is."""
    try:
        shown = repr(value)
    except ValueError:  # a number of more digits than Python writes
        return "a number"
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
