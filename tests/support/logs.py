"""What the gateway's own loggers say, while a test looks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gateway.log import _Event


class _Keeping(logging.Handler):
    def __init__(self, kept: list[dict[str, Any]]) -> None:
        super().__init__()
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        event: object = record.msg
        assert isinstance(event, _Event), f"{record.name} says something in another way"
        level = {"event": event.name, "log_level": record.levelname.lower()}
        self._kept.append({**event.fields, **event.facts, **level})


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """Events of every level as they come, each with its fields and ``log_level``."""
    kept: list[dict[str, Any]] = []
    handler, logger = _Keeping(kept), logging.getLogger("gateway")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield kept
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
