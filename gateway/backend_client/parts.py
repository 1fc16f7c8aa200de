"""What runs beside a client for as long as it is in use."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from gateway.log import get_logger

log = get_logger(__name__)

CLOSED: Final = "this client is closed: use it within its `with` block, or make another one"
FORKED: Final = "this client is of the process that was forked into this one: make another one here"


def begin(running: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run it until it is cancelled. That it ends before is a fault, which nobody waits for."""
    task = asyncio.create_task(running, name=name)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error("part of a client ended", part=task.get_name(), exc_info=task.exception())
