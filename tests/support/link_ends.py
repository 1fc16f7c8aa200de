"""Two ends of a link, what they say to each other, and a channel between them that loses."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gateway.protocol.envelopes.wire import OLDEST, VERSION, Header
from gateway.protocol.fair_share import FairShare
from gateway.protocol.ids import WorkerId
from gateway.protocol.link import NO_BODY, Link, Verdict
from tests.support.previous_link import PreviousLink

A = WorkerId("a" * 16)
B = WorkerId("b" * 16)


def link(me: WorkerId = A, now: float = 100.0, version: int = VERSION) -> Link:
    """One that hurries: what it owes is soon due."""
    made = Link(me, version=version, now=now)
    made.hurry(now)
    return made


def send(sender: Link, body: bytes, now: float) -> tuple[Header, bytes]:
    sender.out.append(body)
    return sender.leaving(now)[-1]


def say(sender: Link | PreviousLink, now: float) -> Header:
    """What it says without a batch."""
    ((header, body),) = sender.leaving(now)
    assert body == NO_BODY
    return header


def pair(now: float = 100.0, version: int = VERSION) -> tuple[Link, Link]:
    return link(A, now, version), link(B, now, version)


def take(receiver: Link | PreviousLink, arrived: tuple[Header, bytes], now: float) -> list[bytes]:
    """Everything that is delivered when this arrives."""
    header = arrived[0]
    if isinstance(receiver, Link) and receiver.goes_on(header):
        assert not receiver.lost(header)
        assert not receiver.forgotten(header)
    if receiver.receive(*arrived, now) is not Verdict.DELIVER:
        return []
    return [arrived[1], *receiver.follow()]


def numbers(leaving: list[tuple[Header, bytes]]) -> list[int]:
    return [header.number for header, _ in leaving]


Makes = type[Link] | type[PreviousLink]


@dataclass
class Channel:
    """Two links and what is on the wire between them."""

    makes: tuple[Makes, Makes] = (Link, Link)
    narrow: bool = False
    wire: list[tuple[WorkerId, Header, bytes]] = field(default_factory=list)
    sent: dict[WorkerId, list[bytes]] = field(default_factory=lambda: {A: [], B: []})
    got: dict[WorkerId, list[bytes]] = field(default_factory=lambda: {A: [], B: []})
    now: float = 100.0

    def __post_init__(self) -> None:
        version = VERSION if PreviousLink not in self.makes else OLDEST
        self.links = {
            me: make(me, version=version, now=self.now, share=self.share())
            for me, make in zip((A, B), self.makes, strict=True)
        }

    def share(self) -> FairShare:
        share = FairShare()
        if self.narrow:  # the peer never says that there is more room than at the beginning
            share.room_kib, share.early_bytes = 0, 8
        return share

    def send(self, me: WorkerId) -> None:
        body = f"{me[0]}{len(self.sent[me])}".encode()
        self.links[me].out.append(body)
        self.sent[me].append(body)
        self.leave(me)

    def restart(self, me: WorkerId) -> None:
        self.links[me].restart(self.now)
        self.hello(me)

    def forget(self, me: WorkerId) -> None:
        """Whatever is under way may still arrive, there and here."""
        self.now += 1.0
        self.links[me] = Link(me, version=VERSION, now=self.now, share=self.share())

    def hello(self, me: WorkerId) -> None:
        self.links[me].out.append(NO_BODY)
        self.leave(me)

    def leave(self, me: WorkerId) -> None:
        for header, body in self.links[me].leaving(self.now):
            self.wire.append((B if me == A else A, header, body))

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for me in self.links:
            self.leave(me)

    def deliver(self, index: int, *, keep: bool = False) -> None:
        if not self.wire:
            return
        index %= len(self.wire)
        to, header, body = self.wire[index] if keep else self.wire.pop(index)
        end = self.links[to]
        lost = end.lost(header)
        if lost:
            end.restart(self.now)
        elif end.forgotten(header):
            self.hello(to)
        delivered = take(end, (header, body), self.now)
        if lost:
            self.hello(to)
        self.got[to] += [body for body in delivered if body != NO_BODY]

    def drain(self) -> None:
        """Deliver everything in order. Two ends that keep answering each other are a defect."""
        for _ in range(1000):
            if not self.wire:
                return
            self.deliver(0)
        pytest.fail("the two ends never come to rest")
