"""``PublishingConnection``: how soon it is made anew."""

from __future__ import annotations

import asyncio

import pytest

from gateway.redis_support import publishing
from gateway.redis_support.publishing import PublishingConnection
from gateway.redis_support.url import parse
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from tests.unit.redis_support.test_subscriptions import Fleeting, Pauses


@pytest.mark.parametrize(
    ("stands_s", "paused", "warnings"),
    [(60.0, [1, 2, 3, 4], 1), (0.0, [1, 1, 1, 1], 4)],
    ids=["at once", "later"],
)
async def test_who_loses_it_at_once_waits_longer_and_longer(
    stands_s: float, paused: list[int], warnings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when a connection that was made is enough to begin anew, or to say its loss again."""
    attempts = Pauses()
    monkeypatch.setattr(publishing, "RedisConnection", Fleeting)
    monkeypatch.setattr(publishing, "ROLE_INTERVAL_S", stands_s)
    monkeypatch.setattr(publishing, "reconnect_delay_s", attempts)
    connection = PublishingConnection(parse("redis://nowhere"), name="test")
    with capture_logs() as logged:
        running = asyncio.create_task(connection.run())
        await eventually(lambda: len(attempts) >= 4, "four losses")
        running.cancel()
        await asyncio.wait({running})

    assert attempts[:4] == paused
    assert connection.losses >= 4
    assert [e["log_level"] for e in logged[:4]].count("warning") == warnings
