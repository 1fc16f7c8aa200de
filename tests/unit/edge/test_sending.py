"""In whatever way something is sent, each socket gets all of it, in the order of the calls."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.receipt import Receipt
from gateway.protocol.run import Run
from gateway.protocol.write_group import WriteGroup
from tests.unit.edge.sending_stand import OUTBOX_BYTES, Stand, unasked

TEXTS = st.binary(max_size=130)
RUNS = st.lists(TEXTS, min_size=1, max_size=4)
WHICH = st.integers(0, 2)
DEEDS = st.one_of(
    st.tuples(st.just("send"), WHICH, TEXTS),
    st.tuples(st.just("push"), WHICH, st.text("ab", max_size=9).map(str.encode)),
    st.tuples(st.just("run"), st.sets(WHICH), RUNS),
    RUNS.map(lambda texts: ("publish", *texts)),
    st.tuples(st.just("room"), WHICH, st.integers(0, 150)),
    st.tuples(st.just("leave"), WHICH),
    st.tuples(st.just("turn")),
    st.tuples(st.just("gather")),
    st.tuples(st.just("flush gathered")),
    st.tuples(st.just("take"), WHICH),
)


class Deeds(Stand):
    """What happens to those connections, and what each of them is to get."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.pushes = 0
        self.receipts: list[Receipt] = []

    def send(self, who: int, text: bytes) -> None:
        self.senders[who].send(text)
        self.senders[who].given.append(text)

    def push(self, who: int, text: bytes) -> None:
        self.pushes += 1
        before = len(self.receipts)
        self.senders[who].push(text.decode(), self.receipts.append)
        if len(self.receipts) == before:  # else it was refused
            self.senders[who].given.append(text)

    def run(self, to: set[int], texts: list[bytes]) -> None:
        run = Run(texts)
        for who in to:
            self.senders[who].send_run(run)
            self.senders[who].given += texts

    def publish(self, *texts: bytes) -> None:
        for sender in self.senders:
            if sender.id in self.channel.subscribers:
                sender.given += texts
        super().publish(*texts)

    def room(self, who: int, room: int) -> None:
        self.senders[who].wire.room = room

    def take(self, who: int) -> None:
        self.senders[who].wire.drain()

    def leave(self, who: int) -> None:
        sender = self.senders[who]
        self.channel.remove(sender.id)
        self.channel.machine.others.pop(sender.id, None)


@given(st.lists(DEEDS, min_size=10, max_size=40))
def test_each_socket_gets_what_it_was_given_in_order(deeds: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand = Deeds(monkeypatch)
        stand.publish(b"to all, who are written to unasked from here on")
        for what, *of in deeds:
            if what in ("turn", "gather", "flush gathered"):
                stand.loop(what)
            else:
                getattr(stand, what)(*of)
        stand.loop("turn")

        for sender in stand.senders:
            texts = sender.wire.texts
            assert texts == sender.given[: len(texts)]
            assert sender.closed is not None or texts == sender.given
            assert sender.wire.aborted == (sender.closed is not None)
            assert sender.sent == len(texts)
        assert stand.counters.sent == sum(len(sender.wire.texts) for sender in stand.senders)
        assert len(stand.receipts) == stand.pushes


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(monkeypatch)


def test_a_run_is_written_within_the_call_and_in_one_write(stand: Stand) -> None:
    [sender, *_] = stand.senders

    sender.send_run(Run([b"1", b"2", b"3"], group=WriteGroup()))

    assert sender.wire.texts == [b"1", b"2", b"3"]
    assert sender.wire.writes == 1


def test_runs_of_several_channels_leave_in_one_write(stand: Stand) -> None:
    [sender, *_] = stand.senders

    sender.send(b"0")
    sender.send_run(Run([b"1", b"2"]))
    sender.send_run(Run([b"3"]))
    sender.send(b"4")
    before = sender.wire.writes
    stand.turn()

    assert sender.wire.texts == [b"0", b"1", b"2", b"3", b"4"]
    assert (before, sender.wire.writes) == (0, 1)


def test_one_that_takes_nothing_is_dropped_and_the_others_go_on(stand: Stand) -> None:
    slow, *others = stand.senders

    for number in range(10):
        stand.publish(b"%d" % number * 50)
        if not number:
            slow.wire.room = 30
        stand.turn()

    assert slow.closed is not None
    assert slow.closed[0] == 3008
    assert slow.wire.written_bytes <= OUTBOX_BYTES + 60
    assert all(len(sender.wire.texts) == 10 for sender in others)


def test_what_is_gathered_leaves_without_another_turn(stand: Stand) -> None:
    [sender, *_] = stand.senders

    stand.edge.hub.gather()
    sender.send(b"1")
    sender.send(b"2")
    assert not sender.wire.texts
    stand.edge.hub.flush_gathered()

    assert sender.wire.texts == [b"1", b"2"]
    assert sender.wire.writes == 1
    assert not stand.asked


def test_nobody_is_dropped_for_what_was_written_in_the_same_turn(stand: Stand) -> None:
    """The transport may not have tried yet to write it."""
    [sender, *_] = stand.senders
    sender.wire.room = 0

    for number in range(5):
        stand.edge.hub.gather()
        sender.send(b"%d" % number * 60)
        stand.edge.hub.flush_gathered()
    sender.wire.drain()  # now it has
    stand.turn()

    assert sender.closed is None
    assert len(sender.wire.texts) == 5


def test_who_still_reads_something_large_is_not_dropped_for_what_comes_behind_it(
    stand: Stand,
) -> None:
    """It would ask for it again. Red where what is large counts as what has collected."""
    [sender, *_] = stand.senders
    sender.wire.room = 0
    sender.send(b"h" * 10 * OUTBOX_BYTES)
    stand.turn()

    for _ in range(3):  # slowly, but it does
        sender.wire.buffered_bytes -= 2 * OUTBOX_BYTES
        sender.send(b"p" * 60)
        stand.turn()

    assert sender.closed is None
    for _ in range(3):
        sender.send(b"p" * 60)
        stand.turn()
    assert sender.closed is not None
    assert sender.closed[0] == 3008


def test_something_large_is_allowed_for_as_long_as_it_waits(stand: Stand) -> None:
    [sender, *_] = stand.senders
    sender.wire.room = 0
    sender.send(b"h" * 10 * OUTBOX_BYTES)
    stand.turn()
    sender.wire.drain()

    sender.wire.room = 0
    sender.send(b"p" * 60)
    stand.turn()
    for _ in range(3):
        sender.send(b"p" * 60)
        stand.turn()

    assert sender.closed is not None


def test_who_takes_a_run_at_once_is_written_tounasked_from_then_on(stand: Stand) -> None:
    stand.publish(b"1")
    assert sorted(stand.group.descriptors) == [0, 1, 2]
    for sender in stand.senders:
        sender.deliver = unasked
    stand.publish(b"2", b"3")

    for sender in stand.senders:
        assert sender.wire.texts == [b"1", b"2", b"3"]
        assert sender.wire.writes == 2
        assert sender.sent == 3
    assert (stand.counters.sent, stand.counters.deliveries) == (9, 9)


def test_who_is_full_gets_the_rest_by_its_transport_and_the_others_all(stand: Stand) -> None:
    stand.publish(b"1")
    stand.senders[0].wire.room = 0
    stand.senders[1].wire.room = 3
    stand.publish(b"two")

    assert [sender.wire.texts for sender in stand.senders] == [[b"1", b"two"]] * 3
    assert stand.group.descriptors == [2]
    assert stand.counters.sent == 6
    for sender in stand.senders:
        sender.wire.drain()
    stand.publish(b"3")
    assert sorted(stand.group.descriptors) == [0, 1, 2]


def test_what_has_collected_is_before_what_is_published(stand: Stand) -> None:
    [sender, *_] = stand.senders
    stand.publish(b"1")
    sender.send(b"2")
    stand.publish(b"3")
    stand.turn()

    assert sender.wire.texts == [b"1", b"2", b"3"]


def test_a_socket_that_others_cannot_write_to_is_asked_once(stand: Stand) -> None:
    [sender, *others] = stand.senders
    sender.wire.plain = False
    stand.publish(b"1")
    sender.wire.lend = unasked  # type: ignore[method-assign, assignment]  # is not called
    stand.publish(b"2")

    assert sender.wire.texts == [b"1", b"2"]
    assert len(stand.group) == len(others)
