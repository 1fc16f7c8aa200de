"""The link, driven over a channel that loses, repeats, delays and reorders."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.envelope import Header
from gateway.protocol.ids import WorkerId
from gateway.protocol.link import (
    ACK_DELAY_S,
    ASK_AGAIN_S,
    LONGEST_SILENCE_S,
    MAX_REPEAT_BYTES,
    NO_BODY,
    NOBODY_S,
    SILENCE_S,
    Link,
    Verdict,
)

A = WorkerId("a" * 16)
B = WorkerId("b" * 16)


def link(me: WorkerId = A, now: float = 100.0) -> Link:
    return Link(me, version=2, now=now)


def send(sender: Link, body: bytes, now: float) -> tuple[Header, bytes]:
    return sender.header(sender.append(body, now)), body


def pair(now: float = 100.0) -> tuple[Link, Link]:
    return link(A, now), link(B, now)


def test_batches_are_delivered_in_the_order_they_were_sent() -> None:
    a, b = pair()

    verdicts = [b.receive(send(a, body, 100.0)[0], 100.0) for body in (b"1", b"2", b"3")]

    assert verdicts == [Verdict.DELIVER] * 3
    assert b.received == 3


def test_a_repeat_is_not_delivered_and_is_acknowledged_at_once() -> None:
    a, b = pair()
    header, _ = send(a, b"1", 100.0)
    b.receive(header, 100.0)

    assert b.receive(header, 100.01) is Verdict.REPEAT
    assert b.deadline() == 100.01


def test_a_gap_is_asked_for_and_the_sender_sends_all_of_it_again() -> None:
    a, b = pair()
    lost, _ = send(a, b"1", 100.0)
    early, _ = send(a, b"2", 100.0)

    assert b.receive(early, 100.0) is Verdict.EARLY
    assert b.owes(100.0)
    ask = b.header(0)
    a.receive(ask, 100.0)

    assert ask.ask
    assert [number for number, _ in a.repeats(100.0)] == [1, 2]
    assert lost.number == 1


def test_a_gap_is_asked_for_again_only_after_a_while() -> None:
    a, b = pair()
    send(a, b"1", 100.0)
    early, _ = send(a, b"2", 100.0)

    b.receive(early, 100.0)
    b.header(0)
    b.receive(early, 100.0 + ASK_AGAIN_S / 2)
    assert b.idle
    b.receive(early, 100.0 + ASK_AGAIN_S)
    assert not b.idle


def test_an_acknowledgement_rides_on_a_batch_that_leaves_anyway() -> None:
    a, b = pair()
    b.receive(send(a, b"1", 100.0)[0], 100.0)

    header, _ = send(b, b"reply", 100.01)
    a.receive(header, 100.02)

    assert header.ack == 1
    assert a.unacknowledged_bytes == 0
    assert b.deadline() == 100.01 + SILENCE_S  # only the reply itself is owed now


def test_an_acknowledgement_goes_alone_after_its_delay() -> None:
    a, b = pair()
    b.receive(send(a, b"1", 100.0)[0], 100.0)

    assert not b.owes(100.0 + ACK_DELAY_S - 0.001)
    assert b.owes(100.0 + ACK_DELAY_S)


def test_silence_makes_the_sender_repeat_with_growing_patience() -> None:
    a = link()
    a.append(b"1", 100.0)

    times = []
    for _ in range(4):
        deadline = a.deadline()
        assert deadline is not None
        times.append(deadline)
        assert a.repeats(deadline) == [(1, b"1")]

    gaps = [after - before for before, after in zip([100.0, *times], times, strict=False)]
    assert gaps == [SILENCE_S, 2.0, LONGEST_SILENCE_S, LONGEST_SILENCE_S]


def test_a_publish_that_reached_nobody_is_repeated_soon() -> None:
    a = link()
    a.append(b"1", 100.0)

    a.nobody(100.0)

    assert a.deadline() == 100.0 + NOBODY_S


def test_nobody_is_no_news_when_everything_is_acknowledged() -> None:
    a = link()

    a.nobody(100.0)

    assert a.deadline() is None


def test_progress_resets_the_patience() -> None:
    a, b = pair()
    first, _ = send(a, b"1", 100.0)
    send(a, b"2", 100.0)
    for _ in range(3):
        a.repeats(a.deadline() or 0.0)

    b.receive(first, 110.0)
    a.receive(b.header(0), 110.0)

    assert a.deadline() == 110.0 + SILENCE_S


def test_much_is_repeated_piece_by_piece_each_after_the_last_has_arrived() -> None:
    a, b = pair()
    bodies = [bytes([n]) * (MAX_REPEAT_BYTES // 2) for n in range(5)]
    for body in bodies:
        a.append(body, 100.0)  # and all of it is lost

    rounds = []
    now = 100.0 + SILENCE_S
    while repeats := a.repeats(now):
        rounds.append([number for number, _ in repeats])
        for number, _ in repeats:
            b.receive(a.header(number), now)
        a.receive(b.header(0), now)

    assert rounds == [[1, 2], [3, 4], [5]]
    assert a.unacknowledged_bytes == 0


def test_a_body_over_the_size_of_a_repeat_is_repeated_alone() -> None:
    a = link()
    a.append(b"x" * (MAX_REPEAT_BYTES + 1), 100.0)
    a.append(b"y", 100.0)

    assert [number for number, _ in a.repeats(101.0)] == [1]


def test_an_unnumbered_batch_is_outside_of_the_numbering() -> None:
    a, b = pair()

    assert b.receive(a.header(0), 100.0) is Verdict.OUTSIDE
    assert b.received == 0


def test_a_restart_is_noticed_by_the_peer_and_nothing_old_is_taken() -> None:
    a, b = pair()
    old, _ = send(a, b"1", 100.0)
    b.receive(old, 100.0)
    a.receive(b.header(0), 100.0)
    a.restart(101.0)
    new, _ = send(a, b"2", 101.0)

    assert b.lost(new)
    b.restart(101.0)
    assert b.receive(new, 101.0) is Verdict.DELIVER
    assert b.receive(old, 101.1) is Verdict.STALE
    assert not b.lost(old)


def test_a_restarted_link_takes_nothing_from_the_epoch_it_gave_up() -> None:
    a, b = pair()
    a.receive(send(b, b"1", 100.0)[0], 100.0)
    late, _ = send(b, b"2", 100.0)

    a.restart(101.0)

    assert not a.lost(late)
    assert a.receive(late, 101.0) is Verdict.STALE


def test_restarting_twice_within_a_millisecond_still_raises_the_epoch() -> None:
    a = link()
    first = a.epoch

    a.restart(100.0)

    assert a.epoch == first + 1


def test_an_acknowledgement_of_another_epoch_is_ignored() -> None:
    a, b = pair()
    b.receive(send(a, b"1", 100.0)[0], 100.0)
    stale_ack = b.header(0)
    a.restart(101.0)
    a.append(b"2", 101.0)

    a.receive(stale_ack, 101.0)

    assert a.unacknowledged_bytes == 1


def test_asking_before_anything_was_heard_asks_nothing() -> None:
    a = link()

    a.ask(100.0)

    assert a.idle


@dataclass
class Channel:
    """Two links and what is on the wire between them."""

    links: dict[WorkerId, Link] = field(default_factory=lambda: {A: link(A), B: link(B)})
    wire: list[tuple[WorkerId, Header, bytes]] = field(default_factory=list)
    sent: dict[WorkerId, list[bytes]] = field(default_factory=lambda: {A: [], B: []})
    got: dict[WorkerId, list[bytes]] = field(default_factory=lambda: {A: [], B: []})
    now: float = 100.0

    def send(self, me: WorkerId) -> None:
        body = f"{me[0]}{len(self.sent[me])}".encode()
        number = self.links[me].append(body, self.now)
        self.sent[me].append(body)
        self.put(me, number, body)

    def restart(self, me: WorkerId) -> None:
        self.links[me].restart(self.now)
        self.put(me, self.links[me].append(NO_BODY, self.now), NO_BODY)

    def put(self, me: WorkerId, number: int, body: bytes) -> None:
        self.wire.append((B if me == A else A, self.links[me].header(number), body))

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for me, end in self.links.items():
            for number, body in end.repeats(self.now):
                self.put(me, number, body)
            if end.owes(self.now):
                self.put(me, 0, NO_BODY)

    def deliver(self, index: int, *, keep: bool = False) -> None:
        if not self.wire:
            return
        index %= len(self.wire)
        to, header, body = self.wire[index] if keep else self.wire.pop(index)
        lost = self.links[to].lost(header)
        if lost:
            self.links[to].restart(self.now)
        verdict = self.links[to].receive(header, self.now)
        if lost:
            self.put(to, self.links[to].append(NO_BODY, self.now), NO_BODY)
        if verdict is Verdict.DELIVER and body != NO_BODY:
            self.got[to].append(body)

    def drain(self) -> None:
        """Deliver everything in order. Two ends that keep answering each other are a defect."""
        for _ in range(1000):
            if not self.wire:
                return
            self.deliver(0)
        pytest.fail("the two ends never come to rest")


STEP = st.one_of(
    st.tuples(st.just("send"), st.sampled_from([A, B])),
    st.tuples(st.just("deliver"), st.integers(0, 30)),
    st.tuples(st.just("repeat"), st.integers(0, 30)),
    st.tuples(st.just("lose"), st.integers(0, 30)),
    st.tuples(st.just("tick"), st.floats(0.0, 3.0)),
    st.tuples(st.just("resync"), st.sampled_from([A, B])),
    st.tuples(st.just("interrupted"), st.sampled_from([A, B])),
)


def play(channel: Channel, step: tuple[str, object]) -> None:
    match step:
        case ("send", str(me)):
            channel.send(WorkerId(me))
        case ("deliver", int(index)):
            channel.deliver(index)
        case ("repeat", int(index)):
            channel.deliver(index, keep=True)
        case ("lose", int(index)) if channel.wire:
            channel.wire.pop(index % len(channel.wire))
        case ("tick", float(seconds)):
            channel.tick(seconds)
        case ("resync", str(me)):
            channel.links[WorkerId(me)].ask(channel.now)
        case ("interrupted", str(me)):
            channel.links[WorkerId(me)].interrupted(channel.now)
        case ("restart", str(me)):
            channel.restart(WorkerId(me))


@given(st.lists(STEP, max_size=80))
@settings(max_examples=400, deadline=None)
def test_whatever_the_channel_does_each_batch_arrives_once_and_in_order(
    steps: list[tuple[str, object]],
) -> None:
    channel = Channel()
    for step in steps:
        play(channel, step)
        for me, peer in ((A, B), (B, A)):
            assert channel.got[me] == channel.sent[peer][: len(channel.got[me])]

    for _ in range(12):  # the channel heals: everything owed is settled in bounded time
        channel.tick(LONGEST_SILENCE_S)
        channel.drain()

    assert channel.got == {A: channel.sent[B], B: channel.sent[A]}
    assert all(end.unacknowledged_bytes == 0 for end in channel.links.values())


@given(
    st.lists(st.one_of(STEP, st.tuples(st.just("restart"), st.sampled_from([A, B]))), max_size=80)
)
@settings(max_examples=400, deadline=None)
def test_restarts_may_lose_but_never_repeat_or_reorder(steps: list[tuple[str, object]]) -> None:
    channel = Channel()
    for step in steps:
        play(channel, step)
    for _ in range(12):
        channel.tick(LONGEST_SILENCE_S)
        channel.drain()
    for me in (A, B):
        channel.send(me)
    for _ in range(12):
        channel.drain()
        channel.tick(LONGEST_SILENCE_S)

    for me, peer in ((A, B), (B, A)):
        places = [channel.sent[peer].index(body) for body in channel.got[me]]
        assert places == sorted(set(places))
        assert channel.got[me][-1] == channel.sent[peer][-1]


@pytest.mark.parametrize("restarting", [A, B])
def test_one_side_restarts_and_the_other_follows(restarting: WorkerId) -> None:
    ends = {A: link(A), B: link(B)}
    other = B if restarting == A else A
    for me, peer in ((A, B), (B, A)):
        header, _ = send(ends[me], b"x", 100.0)
        ends[peer].receive(header, 100.0)

    ends[restarting].restart(101.0)
    hello, _ = send(ends[restarting], b"hello", 101.0)
    assert ends[other].lost(hello)
    ends[other].restart(101.0)
    assert ends[other].receive(hello, 101.0) is Verdict.DELIVER

    answer, _ = send(ends[other], b"answer", 101.0)
    assert not ends[restarting].lost(answer)
    assert ends[restarting].receive(answer, 101.0) is Verdict.DELIVER


def test_a_question_to_the_peer_is_due_at_once() -> None:
    a, b = pair()
    b.receive(send(a, b"1", 100.0)[0], 100.0)

    b.ask(100.0)

    assert b.deadline() == 0.0


def test_the_earlier_of_acknowledgement_and_repeat_is_due_first() -> None:
    a, b = pair()
    b.append(b"reply", 100.0)
    b.receive(send(a, b"1", 100.0)[0], 100.0)

    assert b.deadline() == 100.0 + ACK_DELAY_S
