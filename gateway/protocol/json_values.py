"""JSON of somebody else, as Python values."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, Final

import msgspec

_decode: Final = msgspec.json.Decoder().decode


def value_of(said: bytes) -> Any:
    """The value of JSON that was found to be some (``centrifuge.replies.embeddable``).

    A number that no float holds, and a whole one of more digits than Python reads, is the largest
    float of its sign: so it can be written as JSON again, which knows no infinity. It was published
    already. Whoever reads it cannot refuse it any more, nor do without what came beside it.

    Raises:
        RecursionError: It is nested more deeply than the caller's stack has room for.
    """
    try:
        return _decode(said)
    except msgspec.ValidationError:  # of a number; anything else was found out where it came in
        return json.loads(said, parse_int=_whole_number, parse_float=_number)


def _whole_number(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # over the limit of ``sys.set_int_max_str_digits``
        return _number(digits)


def _number(digits: str) -> float:
    number = float(digits)
    return math.copysign(sys.float_info.max, number) if math.isinf(number) else number
