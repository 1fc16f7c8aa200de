"""The links whose batches one publisher carries, and the clock by which they leave.

Of many links few have something to send or to acknowledge: only those are looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context

from gateway.broker.base import Payload, Publisher
from gateway.messaging.batch_clock import BatchClock
from gateway.messaging.peer_queue import PeerQueue
from gateway.metrics import Counters
from gateway.protocol.ids import WorkerId


class Lane:
    """One lane: what leaves together (``gateway.messaging.batch_clock.Batches``).

    Args:
        ticked: Called at each tick, before anything is looked at.

    Attributes:
        queues: The peer queues whose channels the publisher carries now.
        ready: Those of them that may have something to leave with the next collection. A set in the
            order of their readiness, and no method to call: it is written once a batch.
        active: Those that may owe something by the passing of time. What ``tick`` finds settled is
            left out.
        hints: Channels and payloads that leave once, unreliably.
    """

    def __init__(
        self,
        publisher: Publisher,
        counters: Counters,
        *,
        now: Callable[[], float],
        ticked: Callable[[float], None],
    ) -> None:
        self.publisher = publisher
        self.queues: dict[WorkerId, PeerQueue] = {}
        self.ready: dict[PeerQueue, None] = {}
        self.active: dict[PeerQueue, None] = {}
        self.hints: list[tuple[str, bytes]] = []
        self._counters = counters
        self._now = now
        self._ticked = ticked
        self._owners: list[PeerQueue | None] = []  # of what is under way
        self._running: asyncio.Task[None] | None = None
        self.clock = BatchClock(publisher, self)

    def start(self, context: Context) -> asyncio.Task[None]:
        """Let the clock run, in this context."""
        self._running = asyncio.create_task(self.clock.run(), name="link clock", context=context)
        return self._running

    def cancel(self) -> None:
        """Let nothing leave any more."""
        if self._running is not None:
            self._running.cancel()

    async def stop(self) -> None:
        """The same, and wait until the clock has stopped."""
        self.cancel()
        if self._running is not None:
            await asyncio.wait({self._running})

    def enter(self, queue: PeerQueue) -> None:
        """Let what ``queue`` has leave from here on."""
        queue.lane = self
        self.queues[queue.peer] = queue
        if not queue.settled:
            self.active[queue] = None

    def leave(self, queue: PeerQueue) -> None:
        """The opposite."""
        self.queues.pop(queue.peer, None)
        self.ready.pop(queue, None)
        self.active.pop(queue, None)

    def make_ready(self, queue: PeerQueue) -> None:
        """Something of ``queue`` may leave now."""
        self.ready[queue] = None
        self.clock.publish_soon()

    def all_ready(self) -> None:
        """Every queue may have something to leave."""
        self.ready = dict.fromkeys(self.queues.values())
        self.clock.publish_soon()

    def collect(self, *, interrupted: bool) -> Sequence[tuple[str, Payload]]:
        now = self._now()
        ready, self.ready = self.ready, {}
        if interrupted:
            ready = dict.fromkeys(self.queues.values())
            for queue in ready:
                queue.link.interrupted(now)
        outgoing: list[tuple[str, Payload]] = [*self.hints]
        self.hints = []
        owners: list[PeerQueue | None] = [None] * len(outgoing)
        active = self.active
        for queue in ready:
            if queue.touched or queue.due(now):
                active[queue] = None
                for payload in queue.payloads(now, self._counters):
                    outgoing.append((queue.channel, payload))
                    owners.append(queue)
        self._owners = owners
        return outgoing

    def published(self, receivers: Sequence[int]) -> None:
        told = None
        for queue, reached in zip(self._owners, receivers, strict=True):
            if reached == 0 and queue is not None and queue is not told:
                queue.link.nobody(self._now())
                told = queue  # once, however many batches it had

    def cannot_leave(self) -> None:
        self.hints.clear()  # those that are late are none
        ready, self.ready = self.ready, {}  # all are looked at when the broker is back
        self.active |= ready
        for queue in ready:
            if queue.touched:
                queue.number(self._counters)

    @property
    def owing(self) -> bool:
        return any(not queue.link.idle for queue in self.active)

    def tick(self) -> bool:
        now = self._now()
        self._ticked(now)
        due = dict.fromkeys([queue for queue in self.active if queue.due(now)])
        self.ready |= due
        self.active = dict.fromkeys([queue for queue in self.active if not queue.settled])
        return bool(due)
