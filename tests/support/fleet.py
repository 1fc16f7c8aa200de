"""A fleet of workers in one process, in a time that passes only when nothing is left to do.

Real members, memberships, links and dispatchers; a model of Redis (``MemoryRegistry``,
``MemoryBus``) that counts what it is asked.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from gateway.broker.base import Payload, Resync
from gateway.broker.memory import MemoryBroker, MemoryBus
from gateway.cluster.membership import Membership
from gateway.handlers.dispatch_state import DispatchState
from gateway.handlers.dispatcher import Dispatcher
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.conversation import Event, Pending
from gateway.protocol.deadlines import DECISION_PATIENCE_S, LEASE_S
from gateway.protocol.envelopes.dispatching import Answer, ConnectionFacts, Dispatch, Reply
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.membership import Arrived, Gone, Leaving
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.members import Members
from gateway.protocol.subset import SUBSET
from gateway.registry.memory import MemoryRegistry
from tests.support.ids import new_connection_id, new_worker_id

INFO: Final = WorkerInfo(edge=True, handler=True, envelope_version=3)
HOSTS: Final = 20
HANDLER_S: Final = 0.005


class _Skipping(selectors.DefaultSelector):
    """A selector that never waits: the time it would have waited has passed."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.passed_s += timeout or 0.0
        return super().select(0)


class _SkippingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.passed_s


class Redis(MemoryRegistry):
    """Counts what it is asked, and needs a millisecond for it."""

    def __init__(self, now: asyncio.AbstractEventLoop) -> None:
        super().__init__(now.time)
        self.asked: Counter[str] = Counter()

    async def renew(self, worker: WorkerId, info: WorkerInfo, lease_s: float) -> Leases:
        self.asked["look"] += 1
        await asyncio.sleep(0.001)
        return await super().renew(worker, info, lease_s)

    async def claim(self, worker: WorkerId, seen_end_ms: int) -> bool:
        self.asked["claim"] += 1
        await asyncio.sleep(0.001)
        return await super().claim(worker, seen_end_ms)


class _Bus(MemoryBus):
    """Counts what is published."""

    def __init__(self, asked: Counter[str]) -> None:
        super().__init__()
        self.asked = asked


class _Broker(MemoryBroker):
    def __init__(self, bus: _Bus) -> None:
        super().__init__(bus)
        self._asked = bus.asked

    def publish(self, messages: Sequence[tuple[str, Payload]]) -> asyncio.Future[list[int]]:
        self._asked["publish"] += len(messages)
        return super().publish(messages)


class Client:
    """A connection of some worker (``gateway.handlers.dispatcher.Dispatchable``).

    Attributes:
        said: How many messages.
        answered: Their numbers, as they were answered.
        declared: How many were said to be unhandled.
        strays: How often its messages went to another worker than before for no change of it.
    """

    facts = ConnectionFacts(None, "192.0.2.1", "", (), ())

    def __init__(self, edge: Worker) -> None:
        self.id = new_connection_id(edge.me)
        self.edge = edge
        self.said = self.declared = self.strays = 0
        self.answered_numbers: list[int] = []
        self.state: DispatchState = edge.dispatcher.open(self)
        edge.clients[self.id] = self

    def say(self) -> None:
        before, looked_at = self.state.target, self._targets
        self._targets = self.edge.members.targets
        self.said += 1
        self.edge.dispatcher.read(self.state, Event.MESSAGE, "text", 4)
        after = self.state.target
        if before not in (None, after):
            self.strays += before in self._targets and after in looked_at

    _targets: tuple[WorkerId, ...] = ()

    def answered(self, pending: Pending, answer: Answer, worker: WorkerId) -> None:
        self.answered_numbers.append(pending.number)

    def unhandled(self, pending: Pending) -> None:
        self.declared += 1


class Worker:
    """A worker that answers each message after ``HANDLER_S``."""

    def __init__(self, fleet: Fleet) -> None:
        loop = asyncio.get_running_loop()
        self.me = new_worker_id()
        self.info = replace(INFO, host=f"host-{len(fleet.workers) % HOSTS}")
        self.clients: dict[ConnectionId, Client] = {}
        self.busy = 0
        self.broker = _Broker(fleet.bus)
        counters = Counters()
        self.links = Links(
            self.me, self.broker, counters, channel_of=str, everyone="all", now=loop.time
        )
        self.links.deliver = self.deliver
        self.buried = False
        self.members = Members(
            self.me,
            self.info,
            lease_s=LEASE_S,
            now=loop.time(),
            handler_subset=fleet.handler_subset,
        )
        self.membership = Membership(
            self.members,
            fleet.redis,
            self,
            tell_everyone=fleet.tell,
            after_renewal=self._nothing,
            died=partial(fleet.deaths.append, self.me),
            now=loop.time,
        )
        self.dispatcher = Dispatcher(
            self.members, self.links, counters, patience_s=DECISION_PATIENCE_S, now=loop.time
        )
        self.links.lost = self.dispatcher.worker_gone
        self.links.knows = self.members.known.__contains__
        self.tasks = [loop.create_task(self._run())]

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.broker.run(self))
            await self.broker.subscribe(self.me)
            tasks.create_task(self.links.run())
            tasks.create_task(self.membership.run())

    def on_deliveries(self, deliveries: Sequence[tuple[str, bytes]]) -> None:
        for _, payload in deliveries:
            self.links.receive(payload)

    def on_resync(self, resync: Resync) -> None: ...

    def deliver(self, peer: WorkerId, envelopes: Sequence[Envelope]) -> None:
        loop = asyncio.get_running_loop()
        for envelope in envelopes:
            if isinstance(envelope, Dispatch):
                self.busy += 1
                loop.call_later(HANDLER_S, self._answer, peer, envelope)
            elif isinstance(envelope, Reply):
                self.dispatcher.settle(peer, envelope)

    def _answer(self, edge: WorkerId, dispatch: Dispatch) -> None:
        self.busy -= 1
        reply = Reply(dispatch.connection, dispatch.number, dispatch.attempt, dispatch.text)
        self.links.send(edge, reply)

    @property
    def idle(self) -> bool:
        return not self.busy and not self.dispatcher.unanswered and self.links.settled

    async def _nothing(self) -> None: ...

    def worker_joined(self, worker: WorkerId, info: WorkerInfo) -> None:
        self.links.revive(worker)
        self.links.set_version(worker, info.envelope_version)

    def worker_gone(self, worker: WorkerId) -> None:
        self.links.end(worker)
        self.dispatcher.worker_gone(worker)

    def workers_changed(self) -> None:
        self.links.hurry({w for w, info in self.members.known.items() if info.leaving})
        self.dispatcher.workers_changed()

    def renewed(self) -> None: ...

    def fenced(self) -> None:
        self.buried = True

    async def sweep(self, worker: WorkerId) -> bool:
        return True


class Fleet:
    """Workers with one Redis."""

    def __init__(self, handler_subset: int = SUBSET) -> None:
        self.handler_subset = handler_subset
        self.redis = Redis(asyncio.get_running_loop())
        self.bus = _Bus(self.redis.asked)
        self.deaths: list[WorkerId] = []
        self.workers: list[Worker] = []

    def tell(self, envelope: Arrived | Leaving | Gone) -> None:
        self.redis.asked["publish"] += 1
        for worker in self.workers:
            asyncio.get_running_loop().call_soon(worker.membership.news, envelope)

    def arrive(self, count: int = 1) -> None:
        for _ in range(count):
            self.workers.append(Worker(self))

    async def stand(self, count: int) -> None:
        """Have workers that know each other by their first look, as if they had long been there."""
        self.arrive(count)
        for worker in self.workers:
            await MemoryRegistry.renew(self.redis, worker.me, worker.info, LEASE_S)
        await self.agree()

    async def leave(self, worker: Worker) -> None:
        worker.membership.say(replace(worker.info, leaving=True))
        await asyncio.sleep(0.5)
        while not worker.idle:  # noqa: ASYNC110 (time costs nothing here)
            await asyncio.sleep(0.05)
        self.workers.remove(worker)
        await worker.membership.leave(1.0)
        await self.end(worker)

    async def end(self, worker: Worker) -> None:
        for task in worker.tasks:
            task.cancel()
        await asyncio.gather(*worker.tasks, return_exceptions=True)

    async def stop(self) -> None:
        for worker in self.workers:
            await self.end(worker)

    @property
    def agreed(self) -> bool:
        """Whether each knows exactly those that live."""
        living = {worker.me for worker in self.workers}
        return all(worker.members.known.keys() == living for worker in self.workers)

    async def agree(self) -> float:
        """Wait until they do. Returns how long it took."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while not self.agreed:
            await asyncio.sleep(0.1)
            assert loop.time() - begin < 60
        return loop.time() - begin


def run(simulation: Coroutine[object, object, None]) -> None:
    with _untraced(), asyncio.Runner(loop_factory=_SkippingLoop) as runner:
        runner.run(simulation)


@contextmanager
def _untraced() -> Iterator[None]:
    """Measure no coverage and look for no cycles: with both, a simulation takes six times as long.

    What runs here, tests of its own cover.
    """
    trace = sys.gettrace()
    sys.settrace(None)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        sys.settrace(trace)
