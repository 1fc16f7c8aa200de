"""Publications that nobody takes yet: their order, their bounds, and how often they are tried."""

from __future__ import annotations

import asyncio

import pytest

from gateway.channel_broker import detained
from gateway.channel_broker.base import Publishing
from gateway.channel_broker.detained import DetainedPublications
from gateway.channel_broker.redis_publications import Item
from gateway.channel_broker.redis_scripts import publishing_size
from gateway.errors import BrokerUnavailable
from gateway.redis_support.node import Node
from tests.support.waiting import eventually


class Waiting:
    """What waits, and who takes it, if there is anybody."""

    def __init__(self) -> None:
        self.taken: list[Item] | None = None
        self.failed: list[str] = []
        self.looks = 0
        self.again = False
        self.detained = DetainedPublications(
            Node(), failed=self.failed.append, give=self._give, look=self._look
        )

    def _give(self, _channel: str, items: list[Item]) -> bool:
        if self.taken is None:
            return False
        self.taken += items
        return True

    def _look(self) -> bool:
        self.looks += 1
        return self.again


def item(body: bytes, channel: str = "x") -> Item:
    return Item(Publishing(channel, body), 1, asyncio.get_running_loop().create_future())


async def test_what_was_refused_goes_before_what_was_held_back_behind_it() -> None:
    waiting, first, second = Waiting(), item(b"1"), item(b"2")
    waiting.detained.add([second])
    waiting.detained.add([first])
    assert set(waiting.detained.channels) == {"x"}

    waiting.taken = []
    await eventually(lambda: waiting.taken == [first, second], "both in order")
    assert not waiting.detained.channels


async def test_what_nobody_takes_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detained, "REDIS_DEADLINE_S", 0.01)
    waiting = Waiting()

    async with asyncio.timeout(5):
        with pytest.raises(BrokerUnavailable, match="no master of the Cluster takes it"):
            await waiting.detained.begin(Publishing("x", b"1"), 1)

    assert waiting.failed == ["not_connected"]
    assert not waiting.detained.channels


async def test_it_looks_as_long_as_it_is_told_to_with_nothing_that_waits() -> None:
    waiting = Waiting()
    waiting.again = True
    waiting.detained.release_soon(0.0)
    await eventually(lambda: waiting.looks == 2, "another look")

    waiting.again = False
    await eventually(lambda: not waiting.detained._releasing, "the last look")


async def test_what_is_refused_again_and_again_is_sent_less_and_less_often() -> None:
    """Red when it goes out every 30 ms: with all that follows, up to 32 MB each time."""
    waiting, refused = Waiting(), item(b"1")
    waiting.taken = []
    pauses = []
    for _ in range(5):
        waiting.detained.add([refused])
        pauses.append(waiting.detained._again_s)
        waiting.detained._release()
    waiting.detained.add([item(b"2", "y")])

    assert pauses == [0.03, 0.06, 0.12, 0.24, 0.24]
    assert waiting.detained._again_s == 0.03


async def test_what_waits_is_bounded_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Publishing("x", bytes(300))
    monkeypatch.setattr(detained, "MAX_WAITING_BYTES", 3 * publishing_size(one))
    waiting = Waiting()

    answers = [waiting.detained.begin(one, publishing_size(one)) for _ in range(4)]

    assert [answer.done() for answer in answers] == [False, False, False, True]
    assert "not published" in str(answers[3].exception())
