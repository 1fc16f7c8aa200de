"""How deeply JSON may be nested. Pure.

Whoever reads it needs room on the stack for each level, and how much is left differs from caller to
caller: what was taken in could not be read again. So there is one bound, far below that.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

MAX_DEPTH: Final = 128  # arrays and objects in each other

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OPEN: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_OTHERS: Final = bytes(set(range(256)) - _OPEN.keys())


class NestedTooDeeply(ValueError):
    """It is over ``MAX_DEPTH``."""

    def __init__(self) -> None:
        super().__init__(f"it is nested more than {MAX_DEPTH} deep")


def check_depth(json: bytes) -> None:
    """Whether JSON may be taken in.

    Raises:
        NestedTooDeeply: It may not.
    """
    # Most have not so many in all; what is in strings counts only where they are looked at.
    if json.count(b"[") + json.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", json).translate(None, _OTHERS)
    if max(accumulate(map(_OPEN.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise NestedTooDeeply
