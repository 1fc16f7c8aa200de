"""How long a client stays away before it tries again."""

from __future__ import annotations

import random
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0


def full_jitter_s(failures: int, chance: float | None = None) -> float:
    """Anything up to a bound that doubles with every failure.

    Full jitter: when a worker dies all of its clients get here in the same second, and a fixed
    delay would only move the stampede.
    """
    bound = min(LONGEST_S, FIRST_S * 2.0 ** min(failures, 10))
    return bound * (random.random() if chance is None else chance)


def may_come_back(code: int) -> bool:
    """3500-3999 and 4500-4999 tell a client to stay away."""
    return not (3500 <= code < 4000 or 4500 <= code < 5000)
