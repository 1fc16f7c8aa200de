"""How deeply JSON may be nested. Pure.

Whoever reads it needs room on the stack for each level, and how much is left differs from caller to
caller: what was taken in could not be read again. So there is one bound, far below that.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

MAX_DEPTH: Final = 128  # arrays and objects in each other
LEAST_TOO_DEEP_BYTES: Final = 2 * MAX_DEPTH + 2  # what is shorter need not be looked at

_OPEN: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_OTHERS: Final = bytes(set(range(256)) - _OPEN.keys())


class NestedTooDeeply(ValueError):
    """It is over ``MAX_DEPTH``."""

    def __init__(self) -> None:
        super().__init__(f"it is nested more than {MAX_DEPTH} deep")


def check_depth(json: bytes) -> None:
    """Whether JSON may be taken in that is kept, or read by others.

    Args:
        json: Was found to be some.

    Raises:
        NestedTooDeeply: It may not.
    """
    if json.count(b"[") + json.count(b"{") <= MAX_DEPTH:
        return  # as most: not even all of them, those in strings among them, are so many
    # Calls nothing for each: a client may send many.
    if b"\\" in json:
        json = json.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_of_strings = b"".join(json.split(b'"')[::2])
    brackets = outside_of_strings.translate(None, _OTHERS)
    if max(accumulate(map(_OPEN.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise NestedTooDeeply
