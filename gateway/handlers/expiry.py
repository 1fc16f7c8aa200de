"""When something ends, as applications may say it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

LATEST_UNIX_S: Final = datetime.max.replace(tzinfo=UTC).timestamp()


def unix_s(at: object) -> float | None:
    """``expires_at`` as Unix seconds; None is never.

    Raises:
        TypeError: It is neither number nor datetime.
        ValueError: It has no time zone, is no number, or is after the year 9999.
    """
    if at is None:
        return None
    if isinstance(at, datetime):
        if at.utcoffset() is None:
            raise ValueError(
                f"expires_at={at!r} has no time zone: make it with datetime.now(UTC), or give "
                "Unix seconds"
            )
        return at.timestamp()
    if isinstance(at, bool) or not isinstance(at, int | float):
        kind = type(at).__name__
        raise TypeError(f"expires_at is {kind}, not Unix seconds, a datetime or None")
    if math.isnan(at):
        raise ValueError("expires_at is NaN, not Unix seconds; None is never")
    if at > LATEST_UNIX_S:
        raise ValueError(
            f"expires_at={at} is after the year 9999: give Unix seconds, not milliseconds; "
            "None is never"
        )
    return float(at)
