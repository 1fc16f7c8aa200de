"""Links in use: envelopes in, one PUBLISH per peer out, and the other way round.

Batching is clocked by itself (``gateway.messaging.batch_clock``). While one PUBLISH is under way,
envelopes collect per peer; when it returns, one more carries them all. At low load a batch is one
envelope and waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

from gateway.broker.base import Broker
from gateway.errors import EnvelopeTooLarge
from gateway.log import get_logger
from gateway.log.seldom import Seldom
from gateway.messaging.lanes import Lanes
from gateway.messaging.peer_queue import Fill, PeerQueue
from gateway.metrics import Counters
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.wire import (
    MAX_ENVELOPE_BYTES,
    OLDEST,
    VERSION,
    Batch,
    Header,
    encode,
    encode_any,
    hint,
    read,
)
from gateway.protocol.fair_share import FairShare
from gateway.protocol.ids import WorkerId, is_worker_id
from gateway.protocol.link import Link, Verdict

log = get_logger(__name__)

_DELIVER: Final = Verdict.DELIVER
MAX_ENDED: Final = 10_000
TELL_EACH_S: Final = 10.0
STRANGER_S: Final = 30.0  # longer than any lease takes to become known, or to end
STRANGERS_EACH_S: Final = 1.0  # between two looks at all links for them


class Links:
    """All links of one worker, the one to itself included: that one skips the wire.

    Args:
        me: This worker.
        broker: Carries the batches.
        channel_of: The inbox channel of a worker.

    Attributes:
        deliver: Takes the envelopes of a peer, in order, exactly once while both live.
        lost: Told when a peer has given up the link: what either had sent may be lost.
        relieved: Told when a link whose room was awaited has some again.
        knows: Whether a peer is believed to live. A stranger's link lasts only while it is heard.
        crowded: Peers whose links may not take more from everybody: ask ``takes`` first.
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
        self._counters = counters
        self._channel_of = channel_of
        self._everyone = everyone
        self._now = now
        self._queues: dict[WorkerId, PeerQueue] = {}
        self.crowded: set[WorkerId] = set()
        self._share = FairShare()
        # The links that we have given up: their epochs are remembered, and nothing else.
        self._ended: dict[WorkerId, PeerQueue | None] = {}
        self._local: list[Envelope] = []
        self._held = False
        self._leaving = False
        self._look_for_strangers_at = now() + STRANGERS_EACH_S
        self._unreadable = Seldom(TELL_EACH_S, now)
        self._lanes = Lanes(broker, counters, now=now, ticked=self._forget_strangers)
        broker.when_rerouted(self._reroute)
        self.deliver: Callable[[WorkerId, Sequence[Envelope]], None] = lambda _peer, _envelopes: (
            None
        )
        self.lost: Callable[[WorkerId], None] = lambda _peer: None
        self.relieved: Callable[[WorkerId], None] = lambda _peer: None
        self.knows: Callable[[WorkerId], bool] = lambda _peer: True

    async def run(self) -> None:
        """Publish what has collected, until cancelled."""
        await self._lanes.run()

    def publish_soon(self) -> None:
        """After this turn of the loop (``BatchClock.publish_soon``)."""
        for clock in self._lanes.clocks:
            clock.publish_soon()

    # Sending

    def send(self, peer: WorkerId, envelope: Envelope) -> None:
        """Put an envelope on the link to ``peer``. To a peer that has gone it is dropped.

        Raises:
            EnvelopeTooLarge: It is over what a batch may carry.
            UnicodeEncodeError: A text in it has a lone surrogate.
        """
        if peer == self.me:
            encode(envelope)  # only for its bound
            if not self._local:
                asyncio.get_running_loop().call_soon(self._deliver_locally)
            self._local.append(envelope)
            return
        queue = self._queues.get(peer)
        if queue is None:
            if peer in self._ended:
                return
            queue = self._queue_of(peer)
        item = encode_any(envelope)
        size = len(item)
        if size > MAX_ENVELOPE_BYTES:
            raise EnvelopeTooLarge(size_bytes=size, limit_bytes=MAX_ENVELOPE_BYTES)
        queue.items.append(item)
        queue.bytes_waiting += size
        queue.bytes_kept += size
        if queue.bytes_kept >= queue.crowded_bytes:
            self.crowded.add(peer)
        if not queue.touched:
            queue.touched = True
            lane = queue.lane
            lane.ready[queue] = None
            lane.clock.publish_soon()

    def takes(self, peer: WorkerId, owed_bytes: int) -> bool:
        """Whether the link to ``peer`` takes more of somebody who has so much on it with that.

        At its bound it takes nothing, and near it only from those who have little: one that has
        much does not stop the others.
        """
        queue = self._queues.get(peer)
        return queue is None or queue.takes(owed_bytes)

    def await_room(self, peer: WorkerId, owed_bytes: int) -> None:
        """Somebody who has so much on it was told to wait: ``relieved`` says when to ask again."""
        queue = self._queues.get(peer)
        if queue is not None:
            queue.await_room(owed_bytes)

    def reaches(self, peer: WorkerId) -> bool:
        """Whether anything can leave for ``peer`` now, as far as that has been tried."""
        queue = self._queues.get(peer)
        return queue is None or queue.lane.publisher.connected

    def queue_to(self, peer: WorkerId) -> PeerQueue | None:
        """The queue to ``peer``, if there is one."""
        return self._queues.get(peer)

    def tell(self, peer: WorkerId, envelope: Envelope) -> None:
        """Tell one, worker or not, once, unreliably: a hint."""
        if is_worker_id(peer):
            self._hint(self._channel_of(peer), envelope)

    def tell_everyone(self, envelope: Envelope) -> None:
        """Tell all workers, this one too, once, unreliably: a hint."""
        self._hint(self._everyone, envelope)

    def set_version(self, peer: WorkerId, version: int) -> None:
        """``version`` is the newest that ``peer`` reads."""
        self._queue_of(peer).link.set_version(max(OLDEST, min(VERSION, version)))

    def hurry(self, leaving: Collection[WorkerId]) -> None:
        """These wait for acknowledgements; if this worker is one of them, all of its links do."""
        self._leaving = self._leaving or self.me in leaving
        for peer in self._queues if self._leaving else self._queues.keys() & leaving:
            self._queues[peer].link.hurry(self._now())

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
        if batches := self._unreadable.again():
            log.warning("batch unreadable", bytes=size_bytes, batches=batches)

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
        lane = queue.lane
        lane.active[queue] = None
        self._take_from(queue, batch, payload)
        if queue.kept_back:
            lane.make_ready(queue)
        self._relieve(queue)
        lane.clock.tick_while_needed()

    def _take_from(self, queue: PeerQueue, batch: Batch, payload: bytes) -> None:
        link, header = queue.link, batch.header
        now = queue.heard_at = self._now()
        queue.heard = True
        if header.version < link.version:
            link.set_version(header.version)
        if not link.goes_on(header):
            self._look_for_an_end(queue, header)
        verdict = link.receive(header, payload, now)
        queue.recount()
        if verdict is _DELIVER:
            if batch.envelopes:
                self.deliver(header.sender, batch.envelopes)
            for early in link.follow() if link.early.runs else ():
                if (followed := read(early)) is not None and followed.envelopes:
                    self.deliver(header.sender, followed.envelopes)
        elif verdict is Verdict.REPEAT:
            self._counters.link_repeats += 1
        elif verdict is Verdict.EARLY:
            self._counters.link_early += 1
            queue.lane.make_ready(queue)  # perhaps a new gap, to be reported at once

    def _look_for_an_end(self, queue: PeerQueue, header: Header) -> None:
        """Perhaps the peer has given up the link, or forgotten it, or we have."""
        if queue.link.lost(header):
            self._restart(queue)
        elif queue.link.forgotten(header):
            queue.hello = True
            self._touch(queue)

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
        for lane in self._lanes:
            lane.all_ready()

    @property
    def settled(self) -> bool:
        """Everything sent has arrived, and everything that arrived is acknowledged.

        But for peers that nobody knows and that never answered: they are not waited for.
        """
        return not any(lane.hints for lane in self._lanes) and all(
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
            queue.lane.leave(queue)
            queue.clear(self._now())
            self.crowded.discard(peer)
            self._share.part(len(self._queues))
        self._ended[peer] = queue
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def revive(self, peer: WorkerId) -> None:
        """``peer`` lives after all. It learns that we had given it up."""
        queue = self._ended.pop(peer, None)
        if queue is not None:
            self._queues[peer] = queue
            self._lanes.of(queue.channel).enter(queue)
            self._share.part(len(self._queues))
            self._restart(queue)

    def _queue_of(self, peer: WorkerId) -> PeerQueue:
        queue = self._queues.get(peer)
        if queue is None:
            link = Link(self.me, version=VERSION, now=self._now(), share=self._share)
            if self._leaving:
                link.hurry(self._now())
            queue = PeerQueue(peer, self._channel_of(peer), link, self._now())
            self._queues[peer] = queue
            self._lanes.of(queue.channel).enter(queue)
            self._share.part(len(self._queues))
        return queue

    def _restart(self, queue: PeerQueue) -> None:
        awaited = queue.awaited
        queue.clear(self._now())
        self.crowded.discard(queue.peer)
        queue.hello = True
        self._touch(queue)
        self.lost(queue.peer)
        if awaited:
            self.relieved(queue.peer)

    def _touch(self, queue: PeerQueue) -> None:
        if not queue.touched:
            queue.touched = True
            queue.lane.make_ready(queue)

    def _relieve(self, queue: PeerQueue) -> None:
        if queue.peer in self.crowded and queue.fill is Fill.OPEN:
            self.crowded.discard(queue.peer)
        if queue.relieved():
            self.relieved(queue.peer)

    def _forget_strangers(self, now: float) -> None:
        """A peer that membership does not know will not be said to be gone either."""
        if now < self._look_for_strangers_at:
            return
        self._look_for_strangers_at = now + STRANGERS_EACH_S
        silent = [queue for queue in self._queues.values() if now - queue.heard_at >= STRANGER_S]
        for queue in silent:
            if not self.knows(queue.peer):
                log.info("link forgotten", peer=queue.peer, bytes=queue.bytes_kept)
                del self._queues[queue.peer]
                queue.lane.leave(queue)
                self.crowded.discard(queue.peer)
                self._share.part(len(self._queues))
                self.lost(queue.peer)
                if queue.awaited:
                    self.relieved(queue.peer)

    def _deliver_locally(self) -> None:
        envelopes, self._local = self._local, []
        self.deliver(self.me, envelopes)

    def _hint(self, channel: str, envelope: Envelope) -> None:
        lane = self._lanes.of(channel)
        lane.hints.append((channel, hint(self.me, envelope)))
        lane.clock.publish_soon()

    def _reroute(self) -> None:
        """Channels may have another publisher, and what was on its way there is perhaps lost."""
        now = self._now()
        for queue in self._queues.values():
            before, lane = queue.lane, self._lanes.of(queue.channel)
            if lane is not before:
                before.leave(queue)
                queue.link.interrupted(now)
                lane.enter(queue)
                lane.make_ready(queue)
                lane.clock.tick_while_needed()
        self._lanes.drop_empty()
