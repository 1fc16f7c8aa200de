"""Three Sentinels that answer what they are told, and who asks them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from gateway.redis_support.sentinels import Sentinels
from tests.unit.redis_support.fake_sentinel import FakeSentinel


@pytest.fixture
async def fakes() -> AsyncIterator[list[FakeSentinel]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(FakeSentinel()) for _ in range(3)]


@pytest.fixture
async def sentinels(fakes: list[FakeSentinel]) -> AsyncIterator[Sentinels]:
    made = Sentinels([fake.host for fake in fakes], "main")
    yield made
    await made.aclose()
