"""Links that owe nothing cost nothing, however many there are; those that do wait for no tick."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from gateway.broker.base import Payload, Resync
from gateway.broker.memory import MemoryBroker, MemoryBus
from gateway.messaging import batch_clock
from gateway.messaging import links as links_module
from gateway.messaging.links import Links
from gateway.messaging.peer_queue import PeerQueue
from gateway.metrics import Counters
from gateway.protocol.envelopes.dispatching import Reply
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.wire import VERSION, read, stamp
from gateway.protocol.fair_share import LEAST_ROOM_BYTES, FairShare
from gateway.protocol.ids import WorkerId
from gateway.protocol.link import NO_BODY, Link
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.waiting import eventually

PEERS = 200
MESSAGES = 20

looks: Counter[WorkerId] = Counter()


class Seen(PeerQueue):
    """Counts who looks at it, at whatever."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        looks[super().__getattribute__("peer")] += name != "peer"
        return super().__getattribute__(name)


class Inbox:
    """One worker's links, on a bus."""

    def __init__(self, bus: MemoryBus) -> None:
        self.broker = MemoryBroker(bus)
        self.links = Links(
            new_worker_id(), self.broker, Counters(),
            channel_of=str, everyone="all", now=asyncio.get_running_loop().time,
        )  # fmt: skip
        self.got: list[Envelope] = []
        self.links.deliver = lambda _peer, envelopes: self.got.extend(envelopes)

    def on_deliveries(self, deliveries: Sequence[tuple[str, bytes]]) -> None:
        for _, payload in deliveries:
            self.links.receive(payload)

    def on_resync(self, resync: Resync) -> None: ...

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Inbox]:
        tasks = [asyncio.create_task(run) for run in (self.broker.run(self), self.links.run())]
        await self.broker.subscribe(self.links.me)
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def two_among_many() -> AsyncIterator[tuple[Inbox, Inbox]]:
    """Two that talk, each with ``PEERS`` others that it knows."""
    bus = MemoryBus()
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(Inbox(bus).running()) for _ in range(2)]
        for inbox in (one, other):
            for _ in range(PEERS):
                inbox.links.set_version(new_worker_id(), VERSION)
            inbox.links.resync()  # all are looked at, once
        await asyncio.sleep(0.01)
        looks.clear()
        yield one, other


async def test_only_links_that_have_something_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the message to its acknowledgement. Red where a collection, a tick or what is owed goes
    through all of them."""
    monkeypatch.setattr(links_module, "PeerQueue", Seen)
    monkeypatch.setattr(links_module, "STRANGERS_EACH_S", 3600.0)
    async with two_among_many() as (one, other):
        for number in range(1, 1 + MESSAGES):
            one.links.send(other.links.me, Reply(new_connection_id(), 1, number, "text"))
            await asyncio.sleep(0)
        await eventually(lambda: len(other.got) == MESSAGES, "the messages")
        clocks = one.links._lanes.clocks + other.links._lanes.clocks
        await eventually(lambda: not any(clock._ticking for clock in clocks), "rest")

    assert {peer for peer, count in looks.items() if count} == {one.links.me, other.links.me}


async def test_strangers_are_looked_for_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """That one goes through all: red where each tick does."""
    monkeypatch.setattr(links_module, "PeerQueue", Seen)
    async with two_among_many() as (one, other):
        one.links.send(other.links.me, Reply(new_connection_id(), 1, 1, "text"))
        clocks = one.links._lanes.clocks + other.links._lanes.clocks
        await eventually(lambda: not any(clock._ticking for clock in clocks), "rest")
        idle = {peer: n for peer, n in looks.items() if peer not in (one.links.me, other.links.me)}

    assert set(idle.values()) <= {1}, idle


class Peer:
    """A peer by hand: it hears all that leaves for it, and nobody's tick helps it."""

    def __init__(self) -> None:
        self.me = new_worker_id()
        self.link = Link(self.me, version=VERSION, now=0.0, share=FairShare(1_000_000))
        self.heard: list[bytes] = []

    def hears(self, messages: Sequence[tuple[str, Payload]]) -> asyncio.Future[list[int]]:
        for _, message in messages:
            payload = message if isinstance(message, bytes) else b"".join(message)
            self.heard.append(payload)
            batch = read(payload)
            assert batch is not None
            self.link.receive(batch.header, payload, 0.0)
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        done.set_result([1] * len(messages))
        return done

    def says(self, count: int = 1) -> list[bytes]:
        """So many batches, as they leave."""
        for _ in range(count):
            self.link.out.append(NO_BODY)
        return [stamp(header, body) for header, body in self.link.leaving(0.0)]


@pytest.fixture
async def alone(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Links, Peer]]:
    """Links with one peer, which has acknowledged all; no time passes, and no ticks."""
    monkeypatch.setattr(batch_clock, "TICK_S", 3600.0)
    peer, broker = Peer(), MemoryBroker()
    monkeypatch.setattr(broker, "publish", peer.hears)
    links = Links(
        new_worker_id(), broker, Counters(), channel_of=str, everyone="all", now=lambda: 0.0
    )
    task = asyncio.create_task(links.run())
    await asyncio.sleep(0)
    links.receive(*peer.says())
    links.send(peer.me, Reply(new_connection_id(), 1, 1, "text"))
    await eventually(lambda: peer.heard, "a message")
    links.receive(*peer.says())
    peer.heard.clear()
    yield links, peer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_gap_is_reported_at_once(alone: tuple[Links, Peer]) -> None:
    links, peer = alone
    _lost, early = peer.says(2)
    links.receive(early)

    await eventually(lambda: peer.heard, "the report")


async def test_what_waited_for_room_leaves_with_the_room(alone: tuple[Links, Peer]) -> None:
    links, peer = alone
    links.send(peer.me, Reply(new_connection_id(), 1, 2, "x" * LEAST_ROOM_BYTES))
    await eventually(lambda: peer.heard, "the first, which fills it")
    links.send(peer.me, Reply(new_connection_id(), 1, 3, "second"))
    await asyncio.sleep(0.01)
    assert len(peer.heard) == 1

    links.receive(*peer.says())

    await eventually(lambda: len(peer.heard) == 2, "the second")


async def test_a_question_after_a_gap_in_the_subscription_leaves_at_once(
    alone: tuple[Links, Peer],
) -> None:
    links, peer = alone
    links.resync()

    await eventually(lambda: peer.heard, "the question")
