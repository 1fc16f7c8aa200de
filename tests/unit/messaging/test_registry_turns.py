"""Turns at the registry: who waits is told the truth of it, and Redis that is away ends waits."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.errors import BrokerRefused, BrokerUnavailable, RegistryBusy
from gateway.messaging import registry_turns
from gateway.messaging.registry_turns import RegistryTurns
from tests.support.waiting import eventually


class Bench:
    """Turns, and those who ask: each until it is told to end."""

    def __init__(self, at_once: int = 1) -> None:
        self.busy = self.unanswered = 0
        self.turns = RegistryTurns(
            at_once, count_busy=self._count, count_unanswered=self._count_unanswered
        )
        self.asking: list[str] = []

    def _count(self) -> None:
        self.busy += 1

    def _count_unanswered(self, count: int) -> None:
        self.unanswered += count

    async def ask(self, name: str, answered: asyncio.Event) -> str:
        async with self.turns.asking():
            self.asking.append(name)
            await answered.wait()
        return name

    async def begin(self, name: str, answered: asyncio.Event) -> asyncio.Task[str]:
        task = asyncio.create_task(self.ask(name, answered))
        await asyncio.sleep(0)
        return task


async def test_who_waits_longer_than_a_question_may_take_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red when the wait is counted as the question's: of a thousand many are told in 5 s that Redis
    does not answer.
    """
    bench, answered = Bench(), asyncio.Event()
    first = await bench.begin("first", answered)
    monkeypatch.setattr(registry_turns, "QUESTION_S", 0.02)
    waited = [await bench.begin(name, answered) for name in "abc"]
    assert bench.turns.waiting == 3

    await asyncio.sleep(0.1)  # five times what a question has
    answered.set()

    assert await asyncio.gather(first, *waited) == ["first", "a", "b", "c"]
    assert bench.asking == ["first", "a", "b", "c"]
    assert (bench.turns.waiting, bench.busy) == (0, 0)


async def test_one_whose_turn_does_not_come_is_told_that_and_not_that_redis_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, answered = Bench(), asyncio.Event()
    first = await bench.begin("first", answered)
    monkeypatch.setattr(registry_turns, "TURN_S", 0.02)
    waited = [await bench.begin(name, answered) for name in "ab"]

    with pytest.raises(RegistryBusy, match=r"0 waited before this one, .* not come within 0\.02 s"):
        await waited[0]
    with pytest.raises(RegistryBusy, match="1 waited before this one"):
        await waited[1]
    assert bench.busy == 2

    answered.set()
    assert await first == "first"
    assert await (await bench.begin("next", answered)) == "next"
    assert bench.busy == 2


async def test_behind_too_many_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red without a bound: what waits is kept, however much there is of it. And red when it is told
    of 30 s, which nobody has waited.
    """
    monkeypatch.setattr(registry_turns, "MAX_WAITS", 2)
    bench, answered = Bench(), asyncio.Event()
    asked = [await bench.begin(name, answered) for name in "abc"]
    refused = await bench.begin("d", answered)

    with pytest.raises(
        RegistryBusy, match=r"fewer users at once\..* 2 wait in this process"
    ) as error:
        await refused
    assert "30 s" not in str(error.value)
    assert (bench.turns.waiting, bench.busy) == (2, 1)
    answered.set()
    assert await asyncio.gather(*asked) == ["a", "b", "c"]
    assert await (await bench.begin("next", answered)) == "next"


async def test_a_question_that_nobody_answers_ends_the_wait_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red when each waits for its own turn to be told what all may know: the last for 30 s."""
    monkeypatch.setattr(registry_turns, "QUESTION_S", 0.02)
    bench, never = Bench(at_once=2), asyncio.Event()
    asked = [await bench.begin(name, never) for name in "abcde"]

    for one in asked:
        with pytest.raises(BrokerUnavailable, match=r"Redis does not answer within 0\.02 s"):
            await one
    assert len(bench.asking) == 2
    assert (bench.turns.waiting, bench.busy, bench.unanswered) == (0, 0, 5)
    never.set()
    assert await (await bench.begin("next", never)) == "next"


@pytest.mark.parametrize(
    ("error", "silent_s", "ended"),
    [
        (BrokerUnavailable("Timeout reading from redis"), 0.0, True),
        (BrokerUnavailable("did not answer just now"), 60.0, False),  # at once
        (BrokerRefused("NOPERM"), 0.0, False),  # this is an answer
    ],
)
async def test_a_command_that_nobody_answers_ends_the_wait_of_all(
    monkeypatch: pytest.MonkeyPatch, error: BrokerUnavailable, silent_s: float, ended: bool
) -> None:
    """A command has less time than a question, so it is this that happens where Redis is away. Red
    when only a question that is broken off ends waits: the last were told after 30 s, and that the
    registry is busy.
    """
    monkeypatch.setattr(registry_turns, "SILENT_S", silent_s)
    bench, fails, answered = Bench(), asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        async with bench.turns.asking():
            await fails.wait()
            raise error

    first = asyncio.create_task(ask())
    await asyncio.sleep(0)
    waited = [await bench.begin(name, answered) for name in "ab"]
    answered.set()
    fails.set()

    with pytest.raises(type(error), match=str(error)):
        await first
    told = await asyncio.gather(*waited, return_exceptions=True)
    assert [type(one) for one in told] == [BrokerUnavailable if ended else str] * 2
    assert bench.asking == ([] if ended else ["a", "b"])
    assert (bench.turns.waiting, bench.busy) == (0, 0)
    assert bench.unanswered == (0 if isinstance(error, BrokerRefused) else 3 if ended else 1)


async def test_the_wait_of_many_ends_in_a_time_that_grows_as_they_do() -> None:
    """Ten batches are ten thousand. Red when each looks through the others: those held the loop for
    a second, and fifty thousand for fourteen.
    """

    async def seconds(count: int) -> float:
        bench, never = Bench(), asyncio.Event()
        tasks = [asyncio.create_task(bench.ask("", never)) for _ in range(count)]
        await asyncio.sleep(0)
        began = time.process_time()
        bench.turns._end_waits(3.0)
        await asyncio.wait(tasks[1:])
        spent = time.process_time() - began
        assert all(isinstance(task.exception(), BrokerUnavailable) for task in tasks[1:])
        assert bench.turns.waiting == 0
        tasks[0].cancel()
        return spent

    few = min([await seconds(500) for _ in range(3)])
    many = min([await seconds(10_000) for _ in range(2)])

    assert many < 75 * few  # by their squares: 400


async def test_a_turn_that_comes_to_one_who_is_cancelled_then_goes_on() -> None:
    bench, ended, answered = Bench(), asyncio.Event(), asyncio.Event()
    first = await bench.begin("first", ended)
    cancelled = await bench.begin("cancelled", answered)
    last = await bench.begin("last", answered)

    ended.set()
    await asyncio.sleep(0)
    assert (first.done(), bench.turns.waiting) == (True, 1)
    cancelled.cancel()
    answered.set()

    async with asyncio.timeout(5.0):
        assert await last == "last"
    assert cancelled.cancelled()
    assert bench.asking == ["first", "last"]
    assert await (await bench.begin("next", answered)) == "next"


async def test_one_unanswered_question_beside_answered_ones_ends_nobodys_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, never, answered = Bench(at_once=2), asyncio.Event(), asyncio.Event()
    beside = await bench.begin("beside", answered)
    monkeypatch.setattr(registry_turns, "QUESTION_S", 0.02)
    stuck = await bench.begin("stuck", never)
    monkeypatch.setattr(registry_turns, "QUESTION_S", 5.0)
    answered.set()
    assert await beside == "beside"
    held = await bench.begin("held", never)
    waits = await bench.begin("waits", answered)
    assert bench.turns.waiting == 1

    with pytest.raises(BrokerUnavailable):
        await stuck

    assert await waits == "waits"
    never.set()
    assert await held == "held"


async def test_who_is_cancelled_while_it_waits_takes_no_turn() -> None:
    bench, answered = Bench(), asyncio.Event()
    first = await bench.begin("first", answered)
    cancelled = await bench.begin("cancelled", answered)
    last = await bench.begin("last", answered)

    cancelled.cancel()
    answered.set()

    assert [await first, await last] == ["first", "last"]
    await eventually(cancelled.cancelled, "the cancellation")
    assert bench.asking == ["first", "last"]
    assert bench.turns.waiting == 0
