"""Links and who is at their other end: strangers, the forgotten, and the many who share one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.broker.memory import MemoryBroker
from gateway.errors import HandlerFailed
from gateway.handlers.dispatcher import Dispatcher
from gateway.messaging.link_transport import LinkTransport
from gateway.messaging.links import STRANGER_S, Links
from gateway.messaging.peer_queue import SMALL_BYTES, Fill
from gateway.metrics import Counters
from gateway.protocol.conversation import Event, Pending
from gateway.protocol.envelopes.dispatching import (
    Answer,
    ConnectionFacts,
    Dispatch,
    Failed,
    Reply,
)
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.requests_to_owners import Send
from gateway.protocol.envelopes.wire import VERSION, encode, read, stamp
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.link import ACK_DELAY_S, ACK_RIDE_S, NO_BODY, Link
from gateway.protocol.members import Members
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.waiting import eventually


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def links_of(me: WorkerId, clock: Callable[[], float], broker: MemoryBroker | None = None) -> Links:
    return Links(
        me,
        broker or MemoryBroker(),
        Counters(),
        channel_of=str,
        everyone="all",
        now=clock,
    )


def members_of(me: WorkerId, *known: WorkerId) -> Members:
    members = Members(me, WorkerInfo(edge=True, handler=False), lease_s=10.0, now=0.0)
    for worker in known:
        members.known[worker] = WorkerInfo(edge=False, handler=True)
    members._elect()
    return members


@pytest.mark.parametrize("known", [False, True])
async def test_the_link_to_a_stranger_that_never_answers_ends_and_holds_up_no_drain(
    known: bool,
) -> None:
    """A worker of a former fleet, say. Red without ``Links._forget_strangers``."""
    me, dead, clock = new_worker_id(), new_worker_id(), Clock()
    links = links_of(me, clock)
    transport = LinkTransport(links, members_of(me, *[dead] * known))
    task = asyncio.create_task(links.run())
    await asyncio.sleep(0)
    assert transport.ask(dead, Send(new_connection_id(dead), 1, "text"))
    await eventually(
        lambda: links.queue_to(dead) and not links._lanes.clocks[0]._work, "the batch to leave"
    )

    assert links.settled is not known
    clock.now += STRANGER_S
    if known:
        await asyncio.sleep(0.1)
    else:
        await eventually(lambda: links.queue_to(dead) is None, "its end")

    assert (links.queue_to(dead) is not None) is known
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("who", ["peer", "self"])
async def test_with_who_leaves_acknowledgements_wait_for_no_ride(who: str) -> None:
    """Also on links that begin later, if it is this worker. Red without ``Links.hurry``."""
    me, leaving, other, clock = new_worker_id(), new_worker_id(), new_worker_id(), Clock()
    links = links_of(me, clock)
    links.set_version(leaving, VERSION)
    links.hurry({leaving if who == "peer" else me})

    for peer in (leaving, other):
        speaker = Link(peer, version=VERSION, now=clock.now)
        speaker.out.append(NO_BODY)
        links.receive(*[stamp(header, body) for header, body in speaker.leaving(clock.now)])

    due = [links._queues[peer].link.deadline() for peer in (leaving, other)]
    assert due == [
        clock.now + ACK_DELAY_S,
        clock.now + (ACK_RIDE_S if who == "peer" else ACK_DELAY_S),
    ]


async def test_a_peer_that_was_given_up_and_forgotten_is_spoken_to_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red when all that it sends is of another epoch, for ever."""
    monkeypatch.setattr("gateway.messaging.links.MAX_ENDED", 1)
    clock, names = asyncio.get_running_loop().time, [new_worker_id(), new_worker_id()]
    ends: dict[str, Links] = {}
    got: list[Envelope] = []
    lost: list[WorkerId] = []

    class Between(MemoryBroker):
        def publish(self, messages: Sequence[tuple[str, Any]]) -> asyncio.Future[list[int]]:
            for channel, payload in messages:
                assert read(payload)
                asyncio.get_running_loop().call_soon(ends[channel].receive, payload)
            done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
            done.set_result([1] * len(messages))
            return done

    a, b = (links_of(name, clock, Between()) for name in names)
    ends |= {names[0]: a, names[1]: b}
    a.deliver = lambda _peer, envelopes: got.extend(envelopes)
    b.lost = lost.append
    tasks = [asyncio.create_task(end.run()) for end in (a, b)]
    await asyncio.sleep(0)

    def reply(number: int) -> Reply:
        return Reply(ConnectionId("c"), number, 1, "text")

    b.send(names[0], reply(1))
    await eventually(lambda: reply(1) in got, "the first")
    a.send(names[1], reply(2))
    await eventually(lambda: a.settled and b.settled, "acknowledgements")
    a.end(names[1])
    a.end(new_worker_id())  # and the first that has ended is forgotten

    b.send(names[0], reply(3))  # what is sent to who has forgotten us is lost, and said to be
    await eventually(lambda: lost, "the word of it")
    b.send(names[0], reply(4))
    await eventually(lambda: reply(4) in got, "what was sent since")

    assert lost == [names[0]]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Dispatchable:
    """A connection that only waits for its answers."""

    facts = ConnectionFacts(None, "", "", (), ())

    def __init__(self) -> None:
        self.id = new_connection_id()

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None: ...

    def unhandled(self, pending: Pending) -> None: ...


async def test_connections_with_little_go_on_while_those_with_much_are_parked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red when a queue at its bound parks everybody, whoever filled it."""
    bound = 1 << 20
    monkeypatch.setattr("gateway.messaging.peer_queue.MAX_UNACKNOWLEDGED_BYTES", bound)
    me, handler, clock = new_worker_id(), new_worker_id(), Clock()
    links = links_of(me, clock)
    counters = Counters()
    dispatcher = Dispatcher(members_of(me, handler), links, counters, patience_s=30.0, now=clock)
    much, text = dispatcher.open(Dispatchable()), "x" * (SMALL_BYTES // 2)
    for _ in range(32):
        dispatcher.read(much, Event.MESSAGE, text, size_bytes=len(text))
    queue = links.queue_to(handler)
    assert queue is not None
    assert much.conversation.waiting
    assert counters.dispatch_waits["link"] == 1

    little = dispatcher.open(Dispatchable())
    dispatcher.read(little, Event.MESSAGE, "hello", size_bytes=5)

    assert not little.conversation.waiting
    assert queue.bytes_kept < bound
    while queue.fill is not Fill.FULL:
        links.send(handler, Dispatch(little.dispatchable.id, 0, 1, "x" * 1024))
    dispatcher.read(little, Event.MESSAGE, "again", size_bytes=5)
    assert little.conversation.waiting  # the bound is everybody's

    queue.clear(clock())
    dispatcher.relieved(handler)
    assert not little.conversation.waiting
    assert much.conversation.outstanding


def test_handlers_whose_answers_are_large_wait_before_those_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.messaging.peer_queue.MAX_UNACKNOWLEDGED_BYTES", 1 << 20)
    me, edge = new_worker_id(), new_worker_id()
    links = links_of(me, Clock())
    transport = LinkTransport(links, members_of(me))
    large, small = new_connection_id(edge), new_connection_id(edge)
    for number in range(26):
        transport.answer(edge, Reply(large, number, 1, "x" * (32 << 10)))
    transport.answer(edge, Reply(small, 1, 1, "hello"))

    assert transport.congested(edge, large)
    assert not transport.congested(edge, small)
    assert not transport.ask(edge, Send(large, 1, "text"))


def test_an_answer_that_no_envelope_carries_is_an_error_and_not_the_end_of_its_worker() -> None:
    me, edge = new_worker_id(), new_worker_id()
    links = links_of(me, Clock())
    name = new_connection_id(edge)
    wrong = Reply(name, 1, 1, object())  # type: ignore[arg-type]

    why = LinkTransport(links, members_of(me)).answer(edge, wrong)

    assert why == "it has something that no envelope carries (TypeError)"
    queue = links.queue_to(edge)
    assert queue is not None
    assert queue.items == [encode(Failed(name, 1, 1, HandlerFailed.code))]
