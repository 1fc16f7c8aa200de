"""``HistoryConnection``: to which server it is, and when it is made anew."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.channel_broker import redis_histories
from gateway.channel_broker.redis_histories import HistoryConnection
from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.url import parse
from tests.support.logs import capture_logs


class Made:
    """A connection to the server that is there now."""

    every: list[Made]
    server = "a1"

    def __init__(self) -> None:
        self.run_id = self.server
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.every.append(self)

    @classmethod
    async def connect(cls, *_: object, **__: object) -> Made:
        await asyncio.sleep(0)
        return cls()

    def abort(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    async def execute(self, commands: list[Any]) -> list[bytes]:
        await asyncio.sleep(0)
        return [b"# Server\r\nrun_id:%s\r\n" % self.run_id.encode() for _ in commands]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    monkeypatch.setattr(Made, "every", [], raising=False)
    monkeypatch.setattr(Made, "server", "a1")
    monkeypatch.setattr(redis_histories, "RedisConnection", Made)
    return Made.every


@pytest.fixture
def address() -> RedisAddress:
    return parse("redis://nowhere")


@pytest.fixture
def histories(address: RedisAddress, made: list[Made]) -> Any:
    return HistoryConnection(address, name="test")


async def test_one_is_made_when_it_is_wanted_for_all_that_want_it(
    histories: Any, made: list[Made]
) -> None:
    assert not made
    found = await asyncio.gather(*[histories.to("a1") for _ in range(5)])
    assert found == [made[0]] * 5
    assert await histories.to("a1") is made[0]


async def test_another_is_made_when_it_was_lost(histories: Any, made: list[Made]) -> None:
    await histories.to("a1")
    made[0].abort()
    assert await histories.to("a1") is made[1]


async def test_one_that_has_long_been_idle_is_not_used(
    histories: Any, made: list[Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has dropped it meanwhile may not have said so."""
    await histories.to("a1")
    monkeypatch.setattr(redis_histories, "IDLE_S", 0.0)
    assert await histories.to("a1") is made[1]
    assert made[0].lost.done()


async def test_one_to_the_server_of_before_is_not_used(
    histories: Any, made: list[Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    await histories.to("a1")
    monkeypatch.setattr(Made, "server", "b2")
    assert await histories.to("b2") is made[1]
    assert made[0].lost.done()


async def test_one_to_another_server_is_given_up_and_said_once(
    histories: Any, made: list[Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Made, "server", "b2")
    with capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(BrokerUnavailable, match="another server"):
                await histories.to("a1")
    assert all(one.lost.done() for one in made)
    said = [entry["log_level"] for entry in logged if entry["event"] == "histories not connected"]
    assert said == ["warning", "debug", "debug"]


@pytest.mark.parametrize("turns", range(1, 6))
async def test_one_that_was_begun_before_a_switch_is_not_used(
    histories: Any, address: RedisAddress, made: list[Made], turns: int
) -> None:
    """Nor does anybody who waited for it make another: there may be none any more."""
    wanted = [asyncio.create_task(histories.to("a1")) for _ in range(2)]
    for _ in range(turns):
        await asyncio.sleep(0)
    address.node.switched()
    done = await asyncio.gather(*wanted, return_exceptions=True)

    assert all(one.lost.done() for one in made)
    assert len(made) <= 1
    assert all(one in made or isinstance(one, BrokerUnavailable) for one in done)
    if turns < 3:
        assert all(isinstance(one, BrokerUnavailable) for one in done)
