"""What runs beside a client: a fault in it is said, and does not end channels for good."""

from __future__ import annotations

import asyncio

import pytest

from gateway.backend_client import channels
from gateway.backend_client.channels import ClientChannels
from gateway.backend_client.parts import begin
from gateway.errors import BrokerUnavailable
from gateway.redis_support.url import parse


async def fails() -> None:
    raise RuntimeError("a fault")


async def test_a_part_that_ends_is_said(caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.wait([begin(fails(), "client outgoing")])

    assert "part of a client ended" in caplog.text


async def test_a_part_that_is_cancelled_is_not(caplog: pytest.LogCaptureFixture) -> None:
    part = begin(asyncio.sleep(60), "client outgoing")
    await asyncio.sleep(0)
    part.cancel()
    await asyncio.wait([part])

    assert not caplog.records


async def test_channels_whose_connection_has_ended_begin_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = ClientChannels(parse("redis://127.0.0.1:1"), prefix="gw", name="n")
    begun: list[None] = []

    async def run() -> None:
        begun.append(None)
        raise RuntimeError("a fault")

    monkeypatch.setattr(channels, "REDIS_DEADLINE_S", 0.02)
    monkeypatch.setattr(made._broker, "run_publishing", run)
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            await made.publisher()
    await made.aclose()

    assert len(begun) == 2
