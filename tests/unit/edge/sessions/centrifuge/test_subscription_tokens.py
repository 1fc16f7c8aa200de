"""What becomes of a subscription whose token is being checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.edge.sessions.centrifuge.subscription_tokens import SubscriptionTokens
from gateway.protocol.hooks import HookKind
from gateway.protocol.token_claims import SubscriptionClaims
from tests.support.waiting import eventually
from tests.unit.edge.sessions.centrifuge.stand import Stand, standing

WITH_TOKEN = {"subscribe": {"channel": "a", "token": "t"}}


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as made:
        yield made


async def test_a_check_that_fails_is_answered(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(SubscriptionTokens, "claims", fails)
    client = await stand.client("ann")

    assert (await client.ask(**WITH_TOKEN))["error"]["code"] == 100


async def test_of_a_client_that_has_gone_nothing_is_asked_any_more(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    checking, checked = asyncio.Event(), asyncio.Event()

    async def claims(*args: object) -> SubscriptionClaims:
        checking.set()
        await checked.wait()
        return SubscriptionClaims()

    monkeypatch.setattr(SubscriptionTokens, "claims", claims)
    client = await stand.client("ann")
    looked_up: list[HookKind] = []
    monkeypatch.setattr(client.hooks, "there", lambda kind, name: looked_up.append(kind))
    client.say(WITH_TOKEN)
    await checking.wait()
    client.close(1000, "")
    checked.set()
    await eventually(lambda: not _under_way(), "the end of the check")

    assert not looked_up
    assert not stand.parts.channels.subscriptions


def _under_way() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "client request"]
