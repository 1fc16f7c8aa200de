"""Links over a broker in memory: how many batches they make of what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs

from gateway.broker.memory import MemoryBroker
from gateway.errors import BrokerUnavailable
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.envelopes.dispatching import Reply
from gateway.protocol.envelopes.wire import OLDEST, VERSION, read, stamp
from gateway.protocol.ids import WorkerId
from gateway.protocol.link import NO_BODY, Link
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.logs import capture_logs
from tests.support.waiting import eventually

MESSAGES = 100


class NotedBroker(MemoryBroker):
    """A broker that notes what each call publishes.

    Attributes:
        calls: Of each call, the number of envelopes in each of its messages, by channel.
        up: Whether it is connected. If not, publishing fails.
    """

    def __init__(self, *, up: bool = True) -> None:
        super().__init__()
        self.calls: list[list[tuple[str, int]]] = []
        self.up = up

    @property
    def connected(self) -> bool:
        return self.up

    def publish(self, messages: Sequence[tuple[str, Any]]) -> asyncio.Future[list[int]]:
        batches = [(channel, read(payload)) for channel, payload in messages]
        self.calls.append([(c, len(batch.envelopes)) for c, batch in batches if batch is not None])
        if not self.up:
            nowhere: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
            nowhere.set_exception(BrokerUnavailable("cut"))
            return nowhere
        return super().publish(messages)


@asynccontextmanager
async def running(
    broker: NotedBroker,
    now: Callable[[], float] | None = None,
    counters: Counters | None = None,
) -> AsyncIterator[Links]:
    links = Links(
        new_worker_id(),
        broker,
        counters or Counters(),
        channel_of=str,
        everyone="all",
        now=now or asyncio.get_running_loop().time,
    )
    task = asyncio.create_task(links.run())
    await asyncio.sleep(0)  # from here on it publishes
    try:
        yield links
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_sent_in_one_turn_takes_one_publish_a_peer() -> None:
    broker, peers = NotedBroker(), [new_worker_id() for _ in range(3)]
    async with running(broker) as links:
        for number in range(MESSAGES):
            for peer in peers:
                links.send(peer, Reply(new_connection_id(), number, 1, "text"))
        await eventually(lambda: broker.calls, "the batches")

    assert broker.calls[0] == [(peer, MESSAGES) for peer in peers]


async def test_what_is_sent_while_a_publish_is_under_way_leaves_with_the_next() -> None:
    released, peer = asyncio.Event(), new_worker_id()

    class Slow(NotedBroker):
        def publish(self, messages: Sequence[tuple[str, Any]]) -> asyncio.Future[list[int]]:
            return asyncio.ensure_future(self._publish(super().publish(messages)))

        async def _publish(self, published: asyncio.Future[list[int]]) -> list[int]:
            await released.wait()
            return await published

    broker = Slow()
    async with running(broker) as links:
        links.send(peer, Reply(new_connection_id(), 0, 1, "first"))
        await eventually(lambda: broker.calls, "the first batch")
        for number in range(MESSAGES):
            links.send(peer, Reply(new_connection_id(), number, 1, "more"))
            await asyncio.sleep(0)
        released.set()
        await eventually(lambda: len(broker.calls) > 1, "the second batch")

    assert broker.calls[:2] == [[(peer, 1)], [(peer, MESSAGES)]]


async def test_what_was_sent_while_nothing_could_leave_leaves_with_the_connection() -> None:
    """No silence of the link is waited for: its clock stands still. Hints are dropped meanwhile."""
    broker, peer = NotedBroker(up=False), new_worker_id()
    counters = Counters()
    async with running(broker, now=lambda: 1000.0, counters=counters) as links:
        links.tell(peer, Reply(new_connection_id(), 0, 1, "hint"))
        await eventually(lambda: links.settled, "the hint is dropped")
        for number in range(MESSAGES):
            links.send(peer, Reply(new_connection_id(), number, 1, "text"))
        await eventually(lambda: counters.link_envelopes == MESSAGES, "they are numbered")
        assert not broker.calls

        broker.up = True
        await eventually(lambda: broker.calls, "the batches")

    assert sum(count for _, count in broker.calls[0]) == MESSAGES


async def test_what_was_lost_with_the_connection_leaves_with_the_next() -> None:
    peer = new_worker_id()

    class Cut(NotedBroker):
        def publish(self, messages: Sequence[tuple[str, Any]]) -> asyncio.Future[list[int]]:
            if len(self.calls) == 0:
                self.up = False
            elif len(self.calls) == 1:
                answer(messages[0][1])
            return super().publish(messages)

    def answer(poll: bytes) -> None:
        other, batch = Link(peer, version=VERSION, now=1000.0), read(poll)
        assert batch is not None
        other.receive(batch.header, poll, 1000.0)
        ((header, body),) = other.leaving(1000.0)
        asyncio.get_running_loop().call_soon(links.receive, stamp(header, body))

    broker = Cut()
    async with running(broker, now=lambda: 1000.0) as links:  # no silence ever ends
        links.send(peer, Reply(new_connection_id(), 1, 1, "text"))
        await eventually(lambda: not broker.up, "the loss")
        broker.up = True
        await eventually(lambda: len(broker.calls) > 2, "the repeat")

    assert broker.calls[:3] == [[(peer, 1)], [(peer, 0)], [(peer, 1)]]


async def test_a_full_link_that_its_peer_restarts_is_told_to_be_free_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or whoever waits for room on it would wait for ever."""
    monkeypatch.setattr("gateway.messaging.peer_queue.MAX_UNACKNOWLEDGED_BYTES", 10)
    peer, relieved = new_worker_id(), list[WorkerId]()
    async with running(NotedBroker()) as links:
        links.relieved = relieved.append
        links.send(peer, Reply(new_connection_id(), 1, 1, "text"))
        assert not links.takes(peer, 0)
        links.await_room(peer, 0)
        new = Link(peer, version=VERSION, now=2_000_000.0)
        new.out.append(NO_BODY)
        ((header, body),) = new.leaving(2_000_000.0)
        links.receive(stamp(structs.replace(header, ack_epoch=-(1 << 60)), body))

    assert relieved == [peer]


async def test_nothing_ticks_once_links_do_not_run() -> None:
    broker = NotedBroker(up=False)
    async with running(broker) as links:
        links.send(new_worker_id(), Reply(new_connection_id(), 1, 1, "text"))
        await eventually(lambda: not links.settled and links._lanes.clocks[0]._ticking, "a tick")

    assert links._lanes.clocks[0]._ticking is None


async def test_who_is_told_something_once_may_be_of_an_older_release() -> None:
    """A client outside of the gateway, say: its receipt would be unreadable to it.

    Red when hints are stamped with the newest version.
    """
    told: list[bytes] = []

    class UnacknowledgedBatch(NotedBroker):
        def publish(self, messages: Sequence[tuple[str, Any]]) -> asyncio.Future[list[int]]:
            told.extend(payload for _, payload in messages)
            return super().publish(messages)

    async with running(UnacknowledgedBatch()) as links:
        links.tell(new_worker_id(), Reply(new_connection_id(), 1, 1, "hint"))
        links.tell_everyone(Reply(new_connection_id(), 1, 1, "hint"))
        await eventually(lambda: len(told) == 2, "both hints")

    assert [batch.header.version for batch in map(read, told) if batch] == [OLDEST, OLDEST]


async def test_what_is_unreadable_is_told_of_now_and_then() -> None:
    """Red while each was a line: whoever may publish in a channel could fill a disk."""
    async with running(NotedBroker()) as links:
        with capture_logs() as logged:
            for _ in range(50):
                links.receive(b"no batch")

    assert [event["event"] for event in logged if event["log_level"] == "warning"] == [
        "batch unreadable"
    ]
