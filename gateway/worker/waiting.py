"""Waiting for a condition of this process, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

POLL_S: Final = 0.05


async def until(condition: Callable[[], bool], deadline: float) -> bool:
    """Wait for a condition of this process, until ``deadline`` in loop time. Whether it came."""
    loop = asyncio.get_running_loop()
    while not condition():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
