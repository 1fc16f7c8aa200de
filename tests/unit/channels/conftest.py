"""What tests of presence share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from gateway.channels import presence
from gateway.settings.namespaces import ChannelOptions
from tests.unit.channels.presence_bench import Bench


@pytest.fixture(params=[ChannelOptions(presence=True, join_leave=True)])
async def bench(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setattr(presence, "RETRY_S", 0.01)
    monkeypatch.setattr(presence, "LEFT_AGAIN_S", 0.02)
    made = Bench(request.param)
    running = asyncio.create_task(made.presence.run())
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
