"""Waiting for a condition with a deadline, never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest


async def eventually(check: Callable[[], object], what: str, within_s: float = 5.0) -> None:
    """Wait for a condition, and say which one never came true."""
    try:
        async with asyncio.timeout(within_s):
            while not check():  # noqa: ASYNC110 (the condition may live in another process)
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"{what} did not happen within {within_s} s")


async def eventually_async(
    check: Callable[[], Awaitable[object]], what: str, within_s: float = 5.0
) -> None:
    """The same for a condition that takes a round trip."""
    try:
        async with asyncio.timeout(within_s):
            while not await check():  # noqa: ASYNC110 (as above)
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{what} did not happen within {within_s} s")


def blocking_eventually(check: Callable[[], object], what: str, within_s: float = 5.0) -> None:
    """The same without an event loop."""
    end = time.monotonic() + within_s
    while not check():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {within_s} s")
        time.sleep(0.01)
