"""The asker never guesses: what it says comes from the owner, or from Redis, or is UNREACHABLE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import BrokerUnavailable, UnknownChannel
from gateway.messaging import requests_to_owners as asking
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.protocol.envelopes.requests_to_owners import (
    ListChannels,
    Question,
    Receipted,
    SubscribeConnection,
)
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.receipt import Receipt
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.waiting import eventually

OWNER = WorkerId("o" * 16)
THERE = new_connection_id(OWNER)
LEASE_S = 10.0
NOW_MS = 1_000_000
OLD_MS = NOW_MS - int(LEASE_S * 1000)
ALIVE = {OWNER: (NOW_MS + 1, WorkerInfo(edge=True, handler=True))}


class Bench:
    """An asker whose way and whose Redis are the test's."""

    def __init__(self) -> None:
        self.known = {OWNER}
        self.open = True
        self.asked: list[Question] = []
        self.leases: Leases | Exception = Leases(NOW_MS, ALIVE, set(), OLD_MS)
        self.looks = 0
        self.look_gate = asyncio.Event()
        self.look_gate.set()
        self.requests_to_owners = RequestsToOwners(self, self.look, lease_s=LEASE_S)

    def ask(self, owner: WorkerId, question: Question) -> bool:
        if self.open:
            self.asked.append(question)
        return self.open

    def knows(self, owner: WorkerId) -> bool:
        return owner in self.known

    async def look(self) -> Leases:
        self.looks += 1
        await asyncio.sleep(0)
        await self.look_gate.wait()
        if isinstance(self.leases, Exception):
            raise self.leases
        return self.leases

    async def asking(self) -> asyncio.Task[Receipt]:
        """A send whose question is on its way."""
        task = asyncio.create_task(self.requests_to_owners.send(THERE, "text"))
        for _ in range(10):
            await asyncio.sleep(0)
        return task

    def answer(self, receipt: Receipt, worker: WorkerId = OWNER) -> None:
        question = self.asked[-1]
        assert not isinstance(question, ListChannels)
        self.requests_to_owners.answered(
            worker, Receipted(question.connection, question.number, receipt)
        )


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(asking, "PATIENCE_S", 60.0)  # nothing is to be answered by the time
    made = Bench()
    yield made
    await made.requests_to_owners.aclose()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", 0.02)


@pytest.mark.parametrize("receipt", [Receipt.WRITTEN, Receipt.GONE, Receipt.SLOW])
async def test_what_the_owner_says_is_the_receipt(bench: Bench, receipt: Receipt) -> None:
    sent = await bench.asking()
    bench.answer(receipt)

    assert await sent is receipt
    assert not bench.looks


async def test_a_namespace_that_the_owner_does_not_know_is_named(bench: Bench) -> None:
    subscribed = asyncio.create_task(bench.requests_to_owners.subscribe(THERE, "attic:1"))
    await eventually(lambda: bool(bench.asked), "the question")
    question = bench.asked[-1]
    assert isinstance(question, SubscribeConnection)
    bench.requests_to_owners.answered(
        OWNER,
        Receipted(question.connection, question.number, Receipt.GONE, error=UnknownChannel.code),
    )

    with pytest.raises(UnknownChannel, match="there is no namespace 'attic'"):
        await subscribed


@pytest.mark.usefixtures("impatient")
async def test_silence_is_unreachable(bench: Bench) -> None:
    assert await bench.requests_to_owners.send(THERE, "text") is Receipt.UNREACHABLE


@pytest.mark.usefixtures("impatient")
async def test_an_answer_of_another_worker_is_none(bench: Bench) -> None:
    sent = await bench.asking()
    bench.answer(Receipt.WRITTEN, new_worker_id())

    assert await sent is Receipt.UNREACHABLE


@pytest.mark.usefixtures("impatient")
async def test_a_late_answer_harms_nobody(bench: Bench) -> None:
    assert await bench.requests_to_owners.send(THERE, "text") is Receipt.UNREACHABLE

    bench.answer(Receipt.WRITTEN)


async def test_a_closed_way_is_unreachable(bench: Bench) -> None:
    bench.open = False

    assert await bench.requests_to_owners.send(THERE, "text") is Receipt.UNREACHABLE


@pytest.mark.parametrize(
    ("leases", "receipt"),
    [
        (Leases(NOW_MS, ALIVE, {OWNER}, OLD_MS), Receipt.GONE),
        (Leases(NOW_MS, {}, {OWNER}, NOW_MS), Receipt.GONE),
        (Leases(NOW_MS, {}, set(), OLD_MS), Receipt.GONE),
        (Leases(NOW_MS, {}, set(), OLD_MS + 1), Receipt.UNREACHABLE),
        (Leases(NOW_MS, {}, set(), 0), Receipt.UNREACHABLE),
        (BrokerUnavailable("away"), Receipt.UNREACHABLE),
    ],
)
async def test_of_a_worker_that_is_not_known_redis_is_asked(
    bench: Bench, leases: Leases | BrokerUnavailable, receipt: Receipt
) -> None:
    bench.known.clear()
    bench.leases = leases

    assert await bench.requests_to_owners.send(THERE, "text") is receipt
    assert not bench.asked


async def test_a_worker_that_only_redis_knows_is_asked(bench: Bench) -> None:
    bench.known.clear()
    sent = await bench.asking()
    bench.answer(Receipt.WRITTEN)

    assert await sent is Receipt.WRITTEN


async def test_even_a_fence_is_not_remembered_since_redis_may_forget_it(bench: Bench) -> None:
    bench.known.clear()
    bench.leases = Leases(NOW_MS, {}, {OWNER}, OLD_MS)
    assert await bench.requests_to_owners.send(THERE, "text") is Receipt.GONE
    bench.leases = Leases(NOW_MS, ALIVE, set(), NOW_MS)
    sent = await bench.asking()
    bench.answer(Receipt.WRITTEN)

    assert await sent is Receipt.WRITTEN


async def test_a_look_that_fails_as_nobody_expects_does_not_end_all_later_ones(
    bench: Bench,
) -> None:
    bench.known.clear()
    bench.leases = ValueError("unexpected")
    first = [bench.requests_to_owners.send(THERE, "text") for _ in range(3)]
    assert set(await asyncio.gather(*first)) == {Receipt.UNREACHABLE}
    bench.leases = Leases(NOW_MS, {}, {OWNER}, OLD_MS)

    assert await bench.requests_to_owners.send(THERE, "text") is Receipt.GONE


async def test_many_who_ask_at_once_share_a_look_that_began_after_they_asked(bench: Bench) -> None:
    bench.known.clear()
    bench.leases = Leases(NOW_MS, {}, set(), OLD_MS)

    receipts = await asyncio.gather(
        *(bench.requests_to_owners.send(THERE, "text") for _ in range(50))
    )

    assert set(receipts) == {Receipt.GONE}
    assert bench.looks <= 2


@pytest.mark.parametrize(
    ("leases", "receipt"),
    [
        (Leases(NOW_MS, {}, {OWNER}, OLD_MS), Receipt.GONE),
        (Leases(NOW_MS, {}, set(), NOW_MS), Receipt.UNREACHABLE),
    ],
)
async def test_when_the_owner_is_taken_for_dead_redis_says_what_became_of_it(
    bench: Bench, leases: Leases, receipt: Receipt
) -> None:
    sent = await bench.asking()
    bench.leases = leases
    bench.requests_to_owners.worker_gone(OWNER)

    assert await sent is receipt


async def test_when_the_owner_lives_after_all_its_answer_counts(bench: Bench) -> None:
    sent = await bench.asking()
    bench.requests_to_owners.worker_gone(OWNER)
    await asyncio.sleep(0)
    bench.answer(Receipt.WRITTEN)

    assert await sent is Receipt.WRITTEN


async def test_a_send_that_is_cancelled_leaves_nothing_behind(bench: Bench) -> None:
    sent = await bench.asking()
    sent.cancel()
    await asyncio.gather(sent, return_exceptions=True)

    assert not bench.requests_to_owners._open


async def test_closing_answers_everybody(bench: Bench) -> None:
    sent = await bench.asking()
    await bench.requests_to_owners.aclose()

    assert await sent is Receipt.UNREACHABLE
    assert await bench.requests_to_owners.send(THERE, "text") is Receipt.UNREACHABLE


async def test_closing_does_not_wait_for_a_look(bench: Bench) -> None:
    bench.known.clear()
    bench.look_gate.clear()
    sent = await bench.asking()
    await bench.requests_to_owners.aclose()

    assert await sent is Receipt.UNREACHABLE


async def test_too_many_questions_are_unreachable_and_not_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MAX_UNANSWERED", 1)
    first = await bench.asking()

    assert await bench.requests_to_owners.send(THERE, "text") is Receipt.UNREACHABLE
    bench.answer(Receipt.WRITTEN)
    assert await first is Receipt.WRITTEN


@pytest.mark.parametrize("connection", ["", "x", f"{OWNER}.", f"{OWNER}.{'x' * 23}"])
async def test_what_is_no_connection_id_is_gone_and_nobody_is_asked(
    bench: Bench, connection: str
) -> None:
    assert await bench.requests_to_owners.send(connection, "text") is Receipt.GONE
    assert not bench.asked
    assert not bench.looks


class Looked(str):
    """A text that notes how often it was looked through."""

    looks = 0

    def encode(self, *how: str) -> bytes:
        self.looks += 1
        return super().encode(*how)


async def test_what_goes_to_many_connections_is_not_looked_through_for_each(bench: Bench) -> None:
    """It was where it came in. Red when each send encodes it to see whether it is Unicode: a
    megabyte for each connection of a user, while the loop waits.
    """
    text = Looked("hellö")
    sends = [
        asyncio.create_task(bench.requests_to_owners.send(new_connection_id(OWNER), text))
        for _ in range(3)
    ]
    await eventually(lambda: len(bench.asked) == 3, "the questions")

    assert text.looks == 0
    await bench.requests_to_owners.aclose()
    assert await asyncio.gather(*sends) == [Receipt.UNREACHABLE] * 3
