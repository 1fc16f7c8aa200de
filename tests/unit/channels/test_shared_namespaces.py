"""``SharedNamespaces``: how old what counts may be, and what counts while nobody says more."""

from __future__ import annotations

import asyncio

import pytest

from gateway.channels import shared_namespaces
from gateway.channels.shared_namespaces import EVERY_S, SharedNamespaces
from gateway.errors import BrokerUnavailable
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.unit.channels.scripted_broker import ScriptedBroker

OLD = Namespaces(ChannelOptions()).as_json()
NEW = Namespaces(ChannelOptions(presence=True)).as_json()


class Broker(ScriptedBroker):
    def __init__(self) -> None:
        super().__init__()
        self.says: str | Exception | None = OLD
        self.silent = False

    async def shared_namespaces(self) -> str | None:
        if self.silent:
            await asyncio.get_running_loop().create_future()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.mark.parametrize("away", ["refused", "silent"])
async def test_the_old_ones_count_while_nobody_says_others(
    away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when a channel cannot be used while the master that has the namespaces is away."""
    monkeypatch.setattr(shared_namespaces, "OLD_S", 0.01)
    broker, now = Broker(), Clock()
    shared = SharedNamespaces(broker, now)
    await shared.refresh()
    broker.says, broker.silent = BrokerUnavailable("away"), away == "silent"
    now.time += EVERY_S

    async with asyncio.timeout(5):
        await shared.refresh()
    assert shared.options_of("hall") == ChannelOptions()

    broker.says, broker.silent = NEW, False
    now.time += EVERY_S
    await shared.refresh()
    assert shared.options_of("hall") == ChannelOptions(presence=True)


async def test_without_any_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_namespaces, "WAIT_S", 0.0)
    broker = Broker()
    shared = SharedNamespaces(broker)
    for broker.says in (BrokerUnavailable("away"), None):
        with pytest.raises(BrokerUnavailable):
            await shared.refresh()
