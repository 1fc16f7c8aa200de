"""Masters that have left: what one worker has seen, all know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

import pytest

from gateway.channel_broker import departed
from gateway.channel_broker.departed import MAX_DEPARTED, DepartedMasters
from gateway.channel_broker.redis import Redirected
from gateway.errors import BrokerRefused, BrokerUnavailable
from tests.support.waiting import eventually


class Shared:
    """The list in Redis."""

    def __init__(self) -> None:
        self.run_ids: list[str] = []
        self.errors: list[Exception] = []
        self.times = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self, left: Mapping[str, int], returned: Collection[str]) -> list[str]:
        self.times += 1
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        await self.answers.wait()
        new = [one for one in left if one not in self.run_ids]
        self.run_ids = [one for one in self.run_ids if one not in returned] + new
        return self.run_ids[-MAX_DEPARTED:]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departed, "RETRY_S", 0.0)


@asynccontextmanager
async def running(
    shared: Shared, changed: Callable[[], object] = lambda: None
) -> AsyncIterator[DepartedMasters]:
    made = DepartedMasters(shared, changed=changed)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_who_starts_later_knows_who_has_left() -> None:
    shared = Shared()
    async with running(shared) as one:
        one.left("a")
        one.look_soon()
        await eventually(lambda: shared.run_ids == ["a"], "what one has told")
    changes: list[int] = []

    async with running(shared, lambda: changes.append(1)) as other:
        assert not other.known
        await eventually(lambda: other.known, "what the other has heard")
        assert other.run_ids == ("a",)
        assert changes == [1]


async def test_that_nobody_has_left_is_news_too() -> None:
    changes: list[int] = []
    async with running(Shared(), lambda: changes.append(1)) as one:
        await eventually(lambda: one.known, "the first answer")
    assert changes == [1]


async def test_after_the_masters_have_changed_is_looked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whose connection did not stand saw nobody leave; red when it looks before others told."""
    monkeypatch.setattr(departed, "SOON_S", 0.0)
    shared = Shared()
    async with running(shared) as one:
        await eventually(lambda: one.known, "the first answer")
        one.look_soon()
        await eventually(lambda: shared.times == 3, "two more looks")


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), Redirected("it moves", None)])
async def test_until_redis_answers_nothing_is_known(error: Exception) -> None:
    shared = Shared()
    shared.errors = [error]
    shared.run_ids = ["a"]
    shared.answers.clear()
    async with running(shared) as one:
        await eventually(lambda: shared.times == 2, "another question")
        assert not one.known
        shared.answers.set()
        await eventually(lambda: one.known, "an answer")
        assert one.run_ids == ("a",)


async def test_who_is_not_let_in_goes_on_with_what_it_has_seen() -> None:
    """Red when its channels wait for what it will never be told."""
    shared = Shared()
    shared.errors = [BrokerRefused("NOPERM")]
    async with running(shared) as one:
        one.left("a")
        await eventually(lambda: one.known, "what it makes of a refusal")
        assert one.run_ids == ("a",)


async def test_who_is_back_is_taken_out_for_everybody() -> None:
    shared = Shared()
    shared.run_ids = ["a", "b"]
    async with running(shared) as one:
        await eventually(lambda: one.known, "what was heard")
        one.masters_are(["c", "a"])
        assert one.run_ids == ("b",)
        one.look_soon()
        await eventually(lambda: shared.run_ids == ["b"], "what was told")


async def test_who_has_not_seen_it_leave_yet_takes_nobody_out() -> None:
    """Red when it does: others have told that it left, and whoever starts would not know."""
    shared = Shared()
    async with running(shared) as one:
        await eventually(lambda: one.known, "what was heard")
        one.masters_are(["a", "c"])
        shared.run_ids = ["a"]
        one.look_soon()
        await eventually(lambda: shared.times == 2, "another look")
        one.masters_are(["a", "c"])
        one.masters_are(["c"])
        one.look_soon()
        await eventually(lambda: one.run_ids == ("a",), "what is known when it has")
        assert shared.run_ids == ["a"]


async def test_who_leaves_again_has_left() -> None:
    shared = Shared()
    shared.run_ids = ["a"]
    async with running(shared) as one:
        await eventually(lambda: one.known, "what was heard")
        one.masters_are(["a"])
        one.masters_are([])
        one.left("a")
        assert one.run_ids == ("a",)
        one.look_soon()
        await eventually(lambda: shared.times == 2, "what was told")
        assert shared.run_ids == ["a"]
