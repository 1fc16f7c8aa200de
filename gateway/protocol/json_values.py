"""JSON of somebody else as Python values, and the other way round."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, Final

import msgspec

from gateway.protocol.centrifuge.replies import storable
from gateway.protocol.json_depth import LEAST_TOO_DEEP_BYTES, NestedTooDeeply, check_depth

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
is_json: Final = msgspec.json.Decoder(msgspec.Raw).decode
"""Raises DecodeError for bytes that are no JSON value, at no price of a value."""


def value_of(said: bytes) -> Any:
    """The value of JSON that was found to be some (``centrifuge.replies.storable``).

    A number that no float holds, and a whole one of more digits than Python reads, is the largest
    float of its sign: so it can be written as JSON again, which knows no infinity. It was published
    already. Whoever reads it cannot refuse it any more, nor do without what came beside it.

    Raises:
        RecursionError: The caller's stack has no room for ``json_depth.MAX_DEPTH`` levels.
    """
    try:
        return _decode(said)
    except msgspec.ValidationError:  # of a number; anything else was found out where it came in
        return json.loads(said, parse_int=_whole_number, parse_float=_number)


def json_of(name: str, value: Any) -> bytes:
    """A value as JSON, without raw newlines.

    Args:
        name: Of the argument, for whoever gave it.

    Raises:
        TypeError: JSON cannot say it.
        ValueError: The same; or it is nested too deeply, or holds itself.
        UnicodeEncodeError: A text in it has half of a surrogate pair.
    """
    try:
        said = _encode(value)
        try:
            # Read once more: it may hold what is said to be JSON, and is not.
            is_json(said)
        except msgspec.DecodeError:
            return bytes(storable(said))
        if len(said) >= LEAST_TOO_DEEP_BYTES:
            check_depth(said)
        return said.replace(b"\n", b"")
    except UnicodeEncodeError as error:
        why = f"{name} has half of a surrogate pair in it, and must be Unicode"
        raise UnicodeEncodeError("utf-8", error.object, error.start, error.end, why) from None
    except RecursionError:
        raise ValueError(f"{name} holds itself, or {NestedTooDeeply()}") from None
    except TypeError as error:
        raise TypeError(f"{name} cannot be said in JSON: {error}") from None
    except (ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(f"{name} cannot be said in JSON: {error}") from None


def _whole_number(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # over the limit of ``sys.set_int_max_str_digits``
        return _number(digits)


def _number(digits: str) -> float:
    number = float(digits)
    return math.copysign(sys.float_info.max, number) if math.isinf(number) else number
