"""``PublishingConnection``: how soon it is made anew, and that none of before is used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import BrokerUnavailable
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


class Made:
    """A connection that stands until it is aborted."""

    every: list[Made]

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.aborted = False
        self.every.append(self)

    @classmethod
    async def connect(cls, *_: object, **__: object) -> Made:
        await asyncio.sleep(0)
        return cls()

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            asyncio.get_running_loop().call_soon(self.lost.set_result, None)

    async def execute(self, commands: list[object]) -> list[None]:
        return [None for _ in commands]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    Made.every = []
    monkeypatch.setattr(publishing, "RedisConnection", Made)
    monkeypatch.setattr(publishing, "reconnect_delay_s", lambda _: 0.0)
    return Made.every


async def three_turns(_: Any) -> None:
    for _turn in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize("turns", range(8))
async def test_none_is_used_that_was_made_before_its_node_has_moved(
    turns: int, made: list[Made]
) -> None:
    """Red when only the one in use is given up: one that was asked what must be known before it is
    used stayed with the primary of before.
    """
    address = parse("redis://nowhere")
    connection = PublishingConnection(address, name="test", prepare=three_turns)
    running = asyncio.create_task(connection.run())
    for _ in range(turns):
        await asyncio.sleep(0)
    before = [*made]
    address.node.switched()

    def stands() -> Any:
        one: Any = connection.connection
        return None if one is None or one.aborted else one

    await eventually(stands, "a connection")
    assert stands() not in before
    assert all(one.aborted for one in before)
    running.cancel()
    await asyncio.wait({running})


async def test_one_whose_server_says_nothing_is_given_up_once_its_node_has_moved(
    made: list[Made],
) -> None:
    """Red when that is found out only by its own deadline."""

    async def answered_by_the_second(connection: Any) -> None:
        if connection is made[0]:
            await connection.lost
            raise BrokerUnavailable("it is lost")

    address = parse("redis://nowhere")
    connection = PublishingConnection(address, name="test", prepare=answered_by_the_second)
    running = asyncio.create_task(connection.run())
    await eventually(lambda: made, "the first")
    address.node.switched()

    await eventually(lambda: connection.connected, "the second")
    assert len(made) == 2
    running.cancel()
    await asyncio.wait({running})
