"""Names of epochs."""

from __future__ import annotations

import random
import string
from typing import Final

EPOCH_LENGTH: Final = 8


def new_epoch() -> str:
    """Eight letters at random: one of 5e13, so that no channel has the same again."""
    return "".join(random.choices(string.ascii_letters, k=EPOCH_LENGTH))  # noqa: S311
