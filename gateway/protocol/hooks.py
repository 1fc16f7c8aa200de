"""What an application has a say in beyond messages, and for which names: its hooks.

A hook is declared for a *pattern*: one exact name, or a beginning with ``*`` behind it. Names are
channels, and methods of calls. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from inspect import isfunction
from typing import Final, NamedTuple

from gateway.close_codes import Close
from gateway.protocol.centrifuge.codes import Error

MAX_PATTERN_BYTES: Final = 255  # as many as a channel's name has
ANY: Final = "*"


class HookKind(Enum):
    """What is asked. The values travel between workers."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    UNSUBSCRIBE = "unsubscribe"
    RPC = "rpc"

    __hash__ = object.__hash__  # that of Enum is Python, and asked for with every command


class HookRequest(NamedTuple):
    """What a hook is asked, as bytes: what is JSON stays as it was written until it is handled.

    Attributes:
        name: The channel, or the method.
        data: JSON of the client, or empty.
        claims: Of a subscription's token: a JSON object, or empty.
        info: What others are shown of who publishes: JSON, or empty.
        code: Why a subscription has ended, with ``reason``.
    """

    kind: HookKind
    name: str
    data: bytes = b""
    claims: bytes = b""
    info: bytes = b""
    code: int = 0
    reason: str = ""

    @property
    def size_bytes(self) -> int:
        """About what it takes wherever it waits."""
        return len(self.name) + len(self.data) + len(self.claims) + len(self.info)


class HookResult(NamedTuple):
    """The application lets it happen.

    Attributes:
        data: JSON. Of a publish, what is published instead, None for what the client gave; of a
            call, its result; of a subscribe, what the client is told, if anything.
        info: JSON. Of a subscribe, what others are shown of this subscriber, if anything.
        expires_unix_s: Of a subscribe, when it ends. None is never.
    """

    data: bytes | None = None
    info: bytes | None = None
    expires_unix_s: float | None = None


# An error is answered, a close ends the connection.
HookOutcome = HookResult | Error | Close


def check_pattern(pattern: object) -> None:
    """Whether a hook may be declared for that.

    Raises:
        TypeError: It is no text.
        ValueError: Says what would be right.
    """
    if not isinstance(pattern, str):
        what = f"the function {pattern.__name__}" if isfunction(pattern) else repr(pattern)
        raise TypeError(
            f"{what} is no pattern: give a name, or a beginning with * behind it, in parentheses"
        )
    if not (pattern.isascii() and pattern.isprintable()):
        raise ValueError(f"{pattern!r} is not printable ASCII, as every name is")
    if not 1 <= len(pattern) <= MAX_PATTERN_BYTES:
        raise ValueError(f"a pattern is 1 to {MAX_PATTERN_BYTES} bytes, not {len(pattern)}")
    if ANY in pattern[:-1]:
        raise ValueError(f"{pattern!r} has a * that is not at its end: it can only stand there")


class Patterns:
    """Patterns of one kind of hook."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        given = set(patterns)
        self._exact = frozenset(each for each in given if not each.endswith(ANY))
        beginnings = (each.removesuffix(ANY) for each in given if each.endswith(ANY))
        self._beginnings = tuple(sorted(beginnings, key=len, reverse=True))

    def longest(self, name: str) -> str | None:
        """The pattern that decides on ``name``: itself, or else its longest beginning."""
        if name in self._exact:
            return name
        for beginning in self._beginnings:
            if name.startswith(beginning):
                return beginning + ANY
        return None
