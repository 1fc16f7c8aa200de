"""What tests of presence share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from gateway.channels import stored_presence
from gateway.settings.namespaces import ChannelOptions
from tests.unit.channels.presence_bench import Bench


@pytest.fixture(params=[ChannelOptions(presence=True, join_leave=True)])
async def bench(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setattr(stored_presence, "RETRY_S", 0.01)
    monkeypatch.setattr(stored_presence, "LEFT_AGAIN_S", 0.02)
    made = Bench(request.param)
    running = asyncio.create_task(made.stored.run())
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
