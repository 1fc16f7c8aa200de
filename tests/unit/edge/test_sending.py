"""In whatever way something is sent, each socket gets all of it, in the order of the calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.sending import Sending
from gateway.messaging.hub import Hub
from gateway.metrics import Counters
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt
from gateway.protocol.run import Run

OUTBOX_BYTES = 200


class Wire:
    """A ``Socket`` whose peer takes bytes when it is told to.

    Attributes:
        texts: What was written, message by message.
        writes: How many times.
    """

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.writes = 0
        self.buffered_bytes = 0
        self.written_bytes = 0
        self.takes_writes = True
        self.aborted = False

    def write(self, payloads: Sequence[bytes]) -> None:
        self.texts += payloads
        self._wrote(sum(map(len, payloads)))

    def write_runs(self, runs: Sequence[Run]) -> None:
        self.texts += [message for run in runs for message in run.messages]
        self._wrote(sum(len(run.framed) for run in runs))

    def write_at_once(self, run: Run) -> bool:
        if self.buffered_bytes or not self.takes_writes:
            return False
        self.write_runs([run])
        return True

    def _wrote(self, size: int) -> None:
        self.writes += 1
        self.written_bytes += size
        self.buffered_bytes += size

    def abort(self) -> None:
        self.aborted = True


class Session:
    def push(self, text: str) -> bytes:
        return text.encode()


class Sender(Sending):
    """The part of a connection that sends."""

    def __init__(self, edge: Any, number: int) -> None:
        self.wire = Wire()
        super().__init__(edge, Session(), self.wire)  # type: ignore[arg-type]  # what it uses of them
        self.id = ConnectionId(str(number))
        self.given: list[bytes] = []
        self.closed: tuple[int, str] | None = None

    def on_close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self.wire.takes_writes = False
        self._outbox.discard()


class Stand:
    """Connections of one worker. The loop's turns are taken by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 3) -> None:
        self._soon: deque[Callable[[], None]] = deque()
        loop = SimpleNamespace(call_soon=self._soon.append)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        self.counters = Counters()
        self.edge = SimpleNamespace(
            hub=Hub(),
            counters=self.counters,
            now=lambda: 0.0,
            limits=SimpleNamespace(outbox_bytes=OUTBOX_BYTES, stall_s=10.0),
        )
        self.senders = [Sender(self.edge, number) for number in range(count)]

    @property
    def asked(self) -> int:
        """How many calls the loop was asked for."""
        return len(self._soon)

    def loop(self, what: str) -> None:
        """What those do that deliver, and the loop: nothing is gathered beyond a turn."""
        hub = self.edge.hub
        if what == "gather":
            hub.gather()
            return
        hub.flush_gathered()
        if what == "turn":
            self.turn()

    def turn(self) -> None:
        while self._soon:
            self._soon.popleft()()


TEXTS = st.binary(max_size=130)
RUNS = st.lists(TEXTS, min_size=1, max_size=4)
WHICH = st.integers(0, 2)
DEEDS = st.one_of(
    st.tuples(st.just("send"), WHICH, TEXTS),
    st.tuples(st.just("push"), WHICH, st.text("ab", max_size=9).map(str.encode)),
    st.tuples(st.just("run"), st.sets(WHICH), RUNS, st.booleans()),
    st.tuples(st.just("turn")),
    st.tuples(st.just("gather")),
    st.tuples(st.just("flush gathered")),
    st.tuples(st.just("take"), WHICH),
)


@given(st.lists(DEEDS, max_size=40))
def test_each_socket_gets_what_it_was_given_in_order(deeds: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand = Stand(monkeypatch)
        receipts: list[Receipt] = []
        pushes = 0
        for deed in deeds:
            match deed:
                case ("send", int() as who, bytes() as text):
                    stand.senders[who].send(text)
                    stand.senders[who].given.append(text)
                case ("push", int() as who, bytes() as text):
                    pushes += 1
                    before = len(receipts)
                    stand.senders[who].push(text.decode(), receipts.append)
                    if len(receipts) == before:  # else it was refused
                        stand.senders[who].given.append(text)
                case ("run", to, texts, at_once):
                    run = Run(texts, at_once=at_once)
                    for who in to:
                        stand.senders[who].send_run(run)
                        stand.senders[who].given += texts
                case ("take", int() as who):
                    stand.senders[who].wire.buffered_bytes = 0
                case (str() as what,):
                    stand.loop(what)
        stand.loop("turn")

        for sender in stand.senders:
            texts = sender.wire.texts
            assert texts == sender.given[: len(texts)]
            assert sender.closed is not None or texts == sender.given
            assert sender.wire.aborted == (sender.closed is not None)
            assert sender._outbox.taken == len(texts)
        assert stand.counters.sent == sum(len(sender.wire.texts) for sender in stand.senders)
        assert len(receipts) == pushes


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(monkeypatch)


def test_a_run_is_written_within_the_call_and_in_one_write(stand: Stand) -> None:
    [sender, *_] = stand.senders

    sender.send_run(Run([b"1", b"2", b"3"], at_once=True))

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
        run = Run([b"%d" % number * 50], at_once=True)
        for sender in stand.senders:
            sender.send_run(run)
        stand.turn()
        for sender in others:
            sender.wire.buffered_bytes = 0

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

    for number in range(5):
        stand.edge.hub.gather()
        sender.send(b"%d" % number * 60)
        stand.edge.hub.flush_gathered()
    sender.wire.buffered_bytes = 0  # now it has
    stand.turn()

    assert sender.closed is None
    assert len(sender.wire.texts) == 5


def test_who_still_reads_something_large_is_not_dropped_for_what_comes_behind_it(
    stand: Stand,
) -> None:
    """It would ask for it again. Red where what is large counts as what has collected."""
    [sender, *_] = stand.senders
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
    sender.send(b"h" * 10 * OUTBOX_BYTES)
    stand.turn()
    sender.wire.buffered_bytes = 0

    sender.send(b"p" * 60)
    stand.turn()
    for _ in range(3):
        sender.send(b"p" * 60)
        stand.turn()

    assert sender.closed is not None
