"""Links in use: envelopes in, one PUBLISH per peer out, and the other way round.

Batching is clocked by itself. While one PUBLISH is under way, envelopes collect per peer; when it
returns, one more carries them all. At low load a batch is one envelope and waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Final

from gateway.broker.base import Broker
from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.messaging.peer_queue import PeerQueue
from gateway.metrics import Counters
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.wire import OLDEST, VERSION, Batch, encode, hint, read
from gateway.protocol.fair_share import FairShare
from gateway.protocol.ids import WorkerId, is_worker_id
from gateway.protocol.link import Link, Verdict

log = get_logger(__name__)

MAX_ENDED: Final = 10_000
TICK_S: Final = 0.025
RETRY_S: Final = 0.1
TELL_EACH_S: Final = 10.0
STRANGER_S: Final = 30.0  # longer than any lease takes to become known, or to end


class Links:
    """All links of one worker, the one to itself included: that one skips the wire.

    Args:
        me: This worker.
        broker: Carries the batches.
        channel_of: The inbox channel of a worker.
        deliver: Takes the envelopes of a peer, in order, exactly once while both live.
        lost: Told when a peer has given up the link: what either had sent may be lost.
        relieved: Told when a link that was full is no longer.
        knows: Whether a peer is believed to live. A stranger's link lasts only while it is heard.
    """

    def __init__(
        self,
        me: WorkerId,
        broker: Broker,
        counters: Counters,
        *,
        channel_of: Callable[[WorkerId], str],
        everyone: str,
        now: Callable[[], float],
    ) -> None:
        self.me = me
        self._broker = broker
        self._counters = counters
        self._channel_of = channel_of
        self._everyone = everyone
        self._now = now
        self._queues: dict[WorkerId, PeerQueue] = {}
        self._share = FairShare()
        # The links that we have given up: their epochs are remembered, and nothing else.
        self._ended: dict[WorkerId, PeerQueue | None] = {}
        self._hints: list[tuple[str, bytes]] = []
        self._local: list[Envelope] = []
        self._work = False  # something is to be published
        self._scheduled = False
        self._under_way = False
        self._interrupted = False  # by the loss of what publishes: what left last may not have
        self._owners: list[PeerQueue | None] = []  # of what is under way
        self._running: asyncio.Future[None] | None = None
        self._context = copy_context()
        self._ticking: asyncio.TimerHandle | None = None
        self._held = False
        self._told_at: float | None = None  # of what is unreadable
        self._untold = 0
        self.deliver: Callable[[WorkerId, Sequence[Envelope]], None] = lambda _peer, _envelopes: (
            None
        )
        self.lost: Callable[[WorkerId], None] = lambda _peer: None
        self.relieved: Callable[[WorkerId], None] = lambda _peer: None
        self.knows: Callable[[WorkerId], bool] = lambda _peer: True

    # Sending

    def send(self, peer: WorkerId, envelope: Envelope) -> None:
        """Put an envelope on the link to ``peer``. To a peer that has gone it is dropped.

        Raises:
            EnvelopeTooLarge: It is over what a batch may carry.
        """
        if peer == self.me:
            encode(envelope)  # only for its bound
            if not self._local:
                asyncio.get_running_loop().call_soon(self._deliver_locally)
            self._local.append(envelope)
            return
        if peer in self._ended:
            return
        queue = self._queue_of(peer)
        queue.add(encode(envelope))
        self._touch(queue)

    def takes(self, peer: WorkerId, owed_bytes: int) -> bool:
        """Whether the link to ``peer`` takes more of somebody who has so much on it with that.

        At its bound it takes nothing, and near it only from those who have little: one that has
        much does not stop the others. Feed it no more until ``relieved``.
        """
        queue = self._queues.get(peer)
        return queue is None or queue.takes(owed_bytes)

    def queue_to(self, peer: WorkerId) -> PeerQueue | None:
        """The queue to ``peer``, if there is one."""
        return self._queues.get(peer)

    def tell(self, peer: WorkerId, envelope: Envelope) -> None:
        """Tell one, worker or not, once, unreliably: a hint."""
        if is_worker_id(peer):
            self._hints.append((self._channel_of(peer), hint(self.me, envelope)))
            self.publish_soon()

    def tell_everyone(self, envelope: Envelope) -> None:
        """Tell all workers, this one too, once, unreliably: a hint."""
        self._hints.append((self._everyone, hint(self.me, envelope)))
        self.publish_soon()

    def speaks(self, peer: WorkerId, version: int) -> None:
        """The newest version that ``peer`` reads."""
        self._queue_of(peer).link.speak(max(OLDEST, min(VERSION, version)))

    # Receiving

    def receive(self, payload: bytes) -> None:
        """Take one batch from this worker's inbox, or from the channel of everyone."""
        batch = read(payload)
        if batch is None:
            self._counters.unreadable += 1
            self._tell_of_unreadable(len(payload))
            return
        self._counters.unreadable += batch.unreadable
        self._take(batch, payload)

    def _tell_of_unreadable(self, size_bytes: int) -> None:
        """Whoever may publish in our channels may do so without end."""
        self._untold += 1
        now = self._now()
        if self._told_at is None or now - self._told_at >= TELL_EACH_S:
            log.warning("batch unreadable", bytes=size_bytes, batches=self._untold)
            self._told_at, self._untold = now, 0

    def _take(self, batch: Batch, payload: bytes) -> None:
        header = batch.header
        if header.epoch == 0:
            self.deliver(header.sender, batch.envelopes)
            return
        if self._held or header.sender in self._ended:
            return
        queue = self._queues.get(header.sender)
        if queue is None:
            if not is_worker_id(header.sender):
                self._counters.unreadable += 1
                return
            queue = self._queue_of(header.sender)
        self._take_from(queue, batch, payload)
        if queue.kept_back:
            self.publish_soon()
        if queue.relieved():
            self.relieved(queue.peer)
        self._tick_while_needed()

    def _take_from(self, queue: PeerQueue, batch: Batch, payload: bytes) -> None:
        link, header = queue.link, batch.header
        now = queue.heard_at = self._now()
        queue.heard = True
        if header.version < link.version:
            link.speak(header.version)
        if link.lost(header):
            self._restart(queue)
        elif link.forgotten(header):
            queue.hello = True
            self._touch(queue)
        verdict = link.receive(header, payload, now)
        if verdict is Verdict.DELIVER:
            if batch.envelopes:
                self.deliver(header.sender, batch.envelopes)
            for early in link.follow():
                if (followed := read(early)) is not None and followed.envelopes:
                    self.deliver(header.sender, followed.envelopes)
        elif verdict is Verdict.REPEAT:
            self._counters.link_repeats += 1
        elif verdict is Verdict.EARLY:
            self._counters.link_early += 1
            self.publish_soon()  # perhaps a new gap, to be reported at once

    def hold(self) -> None:
        """Take nothing from links, and acknowledge nothing, until ``release``."""
        self._held = True

    def release(self) -> None:
        if self._held:
            self._held = False
            self.resync()

    def resync(self) -> None:
        """Batches may have been lost on the way here: ask every peer."""
        for queue in self._queues.values():
            queue.link.ask(self._now())
        self.publish_soon()

    @property
    def settled(self) -> bool:
        """Everything sent has arrived, and everything that arrived is acknowledged.

        But for peers that nobody knows and that never answered: they are not waited for.
        """
        return not self._hints and all(
            queue.settled or (not queue.heard and not self.knows(queue.peer))
            for queue in self._queues.values()
        )

    # Peers

    def end(self, peer: WorkerId) -> None:
        """``peer`` is gone: what was on the way to it is dropped, and nothing is taken from it."""
        if peer in self._ended:
            return
        queue = self._queues.pop(peer, None)
        if queue is not None:
            queue.clear(self._now())
            self._share.part(len(self._queues))
        self._ended[peer] = queue
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def revive(self, peer: WorkerId) -> None:
        """``peer`` lives after all. It learns that we had given it up."""
        queue = self._ended.pop(peer, None)
        if queue is not None:
            self._queues[peer] = queue
            self._share.part(len(self._queues))
            self._restart(queue)

    # The clock

    async def run(self) -> None:
        """Publish what has collected, until cancelled."""
        self._context = copy_context()
        running = self._running = asyncio.get_running_loop().create_future()
        if self._work:
            self.publish_soon()
        self._tick_while_needed()
        try:
            await running
        finally:
            self._running = None
            if self._ticking is not None:
                self._ticking.cancel()
                self._ticking = None

    # Callbacks, and no task that waits: it would be woken twice a batch, and while batches are
    # small that is a good part of what a message costs. Not in the context of whoever sends.

    def publish_soon(self) -> None:
        """After this turn of the loop: what else it brings leaves with it.

        Whoever starts something that will send in the next turn may call it before, and what is
        sent then need not wait for another turn.
        """
        self._work = True
        if not self._scheduled and not self._under_way and self._running is not None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._publish, context=self._context)

    def _publish(self) -> None:
        self._scheduled = False
        running = self._running
        if running is None or running.done():
            return
        try:
            if not self._broker.connected:
                self._keep()
                return
            self._work = False
            outgoing, self._owners = self._collect()
            if outgoing:
                published = self._broker.publish(outgoing)
                self._under_way = True
                published.add_done_callback(self._published, context=self._context)
        except Exception as error:
            running.set_exception(error)

    def _published(self, published: asyncio.Future[list[int]]) -> None:
        try:
            told = None
            for queue, receivers in zip(self._owners, published.result(), strict=True):
                if receivers == 0 and queue is not None and queue is not told:
                    queue.link.nobody(self._now())
                    told = queue  # once, however many batches it had
            self._go_on()
        except BrokerUnavailable:
            # What is numbered is kept and will be sent again; the rest were hints.
            if not self._broker.connected:
                self._interrupted = self._work = True
            asyncio.get_running_loop().call_later(RETRY_S, self._go_on)
        except Exception as error:
            if self._running is not None and not self._running.done():
                self._running.set_exception(error)

    def _go_on(self) -> None:
        self._under_way = False
        self._tick_while_needed()
        if self._work:
            self._publish()

    def _keep(self) -> None:
        """Nothing can leave: number it, and look again soon. Hints that are late are none."""
        self._interrupted = self._under_way = True
        self._hints.clear()
        for queue in self._queues.values():
            if queue.touched:
                queue.number(self._counters)
        asyncio.get_running_loop().call_later(RETRY_S, self._go_on)

    def _collect(self) -> tuple[list[tuple[str, bytes]], list[PeerQueue | None]]:
        now = self._now()
        if self._interrupted:
            self._interrupted = False
            for queue in self._queues.values():
                queue.link.interrupted(now)
        outgoing, self._hints = self._hints, []
        owners: list[PeerQueue | None] = [None] * len(outgoing)
        for queue in self._queues.values():
            if queue.touched or queue.due(now):
                for payload in queue.payloads(now, self._counters):
                    outgoing.append((queue.channel, payload))
                    owners.append(queue)
        return outgoing, owners

    def _queue_of(self, peer: WorkerId) -> PeerQueue:
        queue = self._queues.get(peer)
        if queue is None:
            link = Link(self.me, version=VERSION, now=self._now(), share=self._share)
            queue = PeerQueue(peer, self._channel_of(peer), link, self._now())
            self._queues[peer] = queue
            self._share.part(len(self._queues))
        return queue

    def _restart(self, queue: PeerQueue) -> None:
        refused = queue.was_full or queue.was_crowded
        queue.clear(self._now())
        queue.hello = True
        self._touch(queue)
        self.lost(queue.peer)
        if refused:
            self.relieved(queue.peer)

    def _touch(self, queue: PeerQueue) -> None:
        if not queue.touched:
            queue.touched = True
            self.publish_soon()

    def _tick_while_needed(self) -> None:
        """One timer for all links, only while something is owed."""
        if self._running is None or self._ticking is not None:
            return
        if any(not queue.link.idle for queue in self._queues.values()):
            self._ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        now = self._now()
        self._forget_strangers(now)
        for queue in self._queues.values():
            if queue.due(now):
                self.publish_soon()
                break
        self._tick_while_needed()

    def _forget_strangers(self, now: float) -> None:
        """A peer that membership does not know will not be said to be gone either."""
        silent = [queue for queue in self._queues.values() if now - queue.heard_at >= STRANGER_S]
        for queue in silent:
            if not self.knows(queue.peer):
                log.info("link forgotten", peer=queue.peer, bytes=queue.bytes_kept)
                del self._queues[queue.peer]
                self._share.part(len(self._queues))
                self.lost(queue.peer)
                if queue.was_full or queue.was_crowded:
                    self.relieved(queue.peer)

    def _deliver_locally(self) -> None:
        envelopes, self._local = self._local, []
        self.deliver(self.me, envelopes)
