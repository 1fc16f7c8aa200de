"""What uvicorn logs of whoever connects: anybody can have it say so, and without end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from gateway.log.seldom import Seldom

EACH_S: Final = 60.0
MESSAGES: Final = ("Invalid HTTP request received.", "Unsupported upgrade request.")

Worded = Callable[[str, int], str]


class OfStrangers(logging.Filter):
    """Lets each of ``MESSAGES`` pass once in ``EACH_S``, and everything else.

    Args:
        worded: Makes the message of it, and of how often it came since it was let pass.
        now: Monotonic seconds.
    """

    def __init__(self, worded: Worded, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._worded = worded
        self._seldom = {message: Seldom(EACH_S, now) for message in MESSAGES}

    def filter(self, record: logging.LogRecord) -> bool:
        message: object = record.msg  # of whoever logs there: structlog's is a dict
        seldom = self._seldom.get(message) if isinstance(message, str) else None
        if seldom is None:
            return True
        times = seldom.again()
        if times:
            record.msg = self._worded(record.msg, times)
        return times > 0
