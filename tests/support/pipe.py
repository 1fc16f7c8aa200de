"""Links of several senders to one receiver, over a pipe of a certain width and length.

It is Redis as a link sees it: what is published stands in one queue, leaves it at so many bytes a
second, and arrives so much later, in order. Time is simulated.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.protocol.envelopes.wire import VERSION, Header
from gateway.protocol.fair_share import FairShare
from gateway.protocol.ids import worker_id
from gateway.protocol.link import Link, Verdict

TICK_S: Final = 0.025
LANE_BYTES: Final = 16 << 20
HEADER_BYTES: Final = 60
BODY: Final = bytes(32 << 10)

Lose = Callable[[int], bool]


@dataclass
class Pipe:
    """One way to one worker, for all who publish to it."""

    bytes_per_s: float
    delay_s: float
    lose: Lose = lambda _nth: False
    free_at: float = 0.0
    sent_bytes: int = 0
    lost_bytes: int = 0
    batches: int = 0
    most_waiting_bytes: float = 0.0

    def put(self, now: float, size: int, *, numbered: bool) -> float | None:
        """When it arrives; None if it never does."""
        self.sent_bytes += size
        self.free_at = max(now, self.free_at) + size / self.bytes_per_s
        waiting = (self.free_at - now) * self.bytes_per_s
        self.most_waiting_bytes = max(self.most_waiting_bytes, waiting)
        self.batches += numbered
        if numbered and self.lose(self.batches):
            self.lost_bytes += size
            return None
        return self.free_at + self.delay_s


@dataclass
class Sender:
    link: Link
    peer: Link  # the receiver's end
    delivered: list[int] = field(default_factory=list)
    appended: int = 0


class Traffic:
    """Senders that always have more to send than the pipe takes."""

    def __init__(
        self,
        senders: int,
        *,
        bytes_per_s: float,
        delay_s: float,
        lose: Lose | None = None,
        lane_bytes: int = LANE_BYTES,
        make: type[Link] = Link,
    ) -> None:
        self.began = self.now = 1000.0
        self.there = Pipe(bytes_per_s, delay_s, lose or (lambda _nth: False))
        self.back = Pipe(bytes_per_s, delay_s)
        self._lane_bytes = lane_bytes
        share = FairShare(senders)
        me = worker_id(bytes(10))
        self.senders = [
            Sender(
                make(worker_id(bytes([n + 1]) * 10), version=VERSION, now=self.now),
                make(me, version=VERSION, now=self.now, share=share),
            )
            for n in range(senders)
        ]
        self._events: list[tuple[float, int, Sender, bool, Header, bytes]] = []
        self._order = itertools.count()

    @property
    def delivered_bytes(self) -> int:
        return sum(len(sender.delivered) for sender in self.senders) * len(BODY)

    def offer_for(self, seconds: float) -> None:
        """Keep every queue full for so long."""
        self._run(until=self.now + seconds, offer=True)

    def settle(self, within_s: float) -> None:
        """Offer nothing more, until all has arrived and is known to have."""
        self._run(until=self.now + within_s, offer=False)

    def cut(self) -> None:
        """Redis cuts the receiver's connection: what is under way to it is lost, and it asks."""
        self.there.lost_bytes += sum(len(event[5]) for event in self._events if event[3])
        self._events = [event for event in self._events if not event[3]]
        heapq.heapify(self._events)
        self.there.free_at = self.now
        for sender in self.senders:
            sender.peer.ask(self.now)

    def _run(self, *, until: float, offer: bool) -> None:
        tick = self.now
        while self.now < until:
            if not offer and not self._events and all(self._at_rest(s) for s in self.senders):
                return
            if self._events and self._events[0][0] <= tick:
                self.now, _, sender, there, header, body = heapq.heappop(self._events)
                self._arrive(sender, header, body, there=there)
                self._leave(sender)
            else:
                self.now, tick = tick, tick + TICK_S
                for sender in self.senders:
                    self._fill(sender, offer=offer)
                    self._leave(sender)

    def _at_rest(self, sender: Sender) -> bool:
        return sender.link.idle and sender.peer.idle

    def _fill(self, sender: Sender, *, offer: bool) -> None:
        while offer and sender.link.out.kept_bytes < self._lane_bytes:
            sender.appended = sender.link.out.append(BODY)

    def _leave(self, sender: Sender) -> None:
        for link, pipe, there in ((sender.link, self.there, True), (sender.peer, self.back, False)):
            for header, body in link.leaving(self.now):
                size = HEADER_BYTES + 4 * len(header.held) + len(body)
                at = pipe.put(self.now, size, numbered=header.number > 0)
                if at is not None:
                    event = (at, next(self._order), sender, there, header, body)
                    heapq.heappush(self._events, event)

    def _arrive(self, sender: Sender, header: Header, body: bytes, *, there: bool) -> None:
        if not there:
            sender.link.receive(header, body, self.now)
        elif sender.peer.receive(header, body, self.now) is Verdict.DELIVER:
            sender.delivered.append(header.number)
            for _ in sender.peer.follow():
                sender.delivered.append(sender.delivered[-1] + 1)
