"""The owner of a connection answers everything once, and writes what has a key once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest

from gateway.errors import BrokerUnavailable, ChannelLimit, GatewayError, WorkerChannelLimit
from gateway.messaging.hub import Done, Hub
from gateway.messaging.owner_receipts import REMEMBERED_S, OwnerReceipts
from gateway.protocol.envelopes.requests_to_owners import (
    Disconnect,
    Inquire,
    OwnerQuestion,
    Particulars,
    Receipted,
    Send,
    SubscribeConnection,
    UnsubscribeConnection,
)
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt
from tests.support.ids import new_connection_id, new_worker_id

ME = new_worker_id()
ASKER = new_worker_id()
HERE = new_connection_id(ME)
FACTS = Particulars(1, 2, "ada", "192.0.2.1", "agent")


class LocalConnection:
    """A connection that takes what it is sent when the test says so."""

    def __init__(self, connection: ConnectionId) -> None:
        self.id = connection
        self.pushed: list[tuple[str, Callable[[Receipt], None]]] = []
        self.closed: tuple[int, str] | None = None
        self.subscribed: list[tuple[str, Done]] = []
        self.unsubscribed: list[str] = []
        self.takes = Receipt.WRITTEN

    def push(self, text: str, done: Callable[[Receipt], None]) -> None:
        self.pushed.append((text, done))

    @property
    def taking(self) -> Receipt:
        return self.takes if self.closed is None else Receipt.GONE

    def disconnect(self, code: int, reason: str) -> Receipt:
        taking = self.taking
        self.closed = (code, reason)
        return taking

    def subscribe(self, channel: str, done: Done) -> None:
        self.subscribed.append((channel, done))

    def unsubscribe(self, channel: str, done: Done) -> None:
        self.unsubscribed.append(channel)
        done(self.taking)

    def particulars(self) -> Particulars:
        return FACTS

    def take(self, receipt: Receipt = Receipt.WRITTEN) -> None:
        """Say what became of the oldest push."""
        self.pushed.pop(0)[1](receipt)


class Bench:
    """An owner with one connection, and what it has answered."""

    def __init__(self) -> None:
        self.now = 0.0
        self.holding = False
        self.member = LocalConnection(HERE)
        self.answers: list[tuple[int, Receipt]] = []
        self.told: list[tuple[WorkerId, Receipted, bool]] = []
        hub = Hub()
        hub.add(self.member)
        self.owner_receipts = OwnerReceipts(
            hub, answer=self._answer, holding=lambda: self.holding, now=lambda: self.now
        )

    def _answer(self, asker: WorkerId, receipted: Receipted, unlinked: bool) -> None:
        self.told.append((asker, receipted, unlinked))
        self.answers.append((receipted.number, receipted.receipt))

    def ask(self, *questions: OwnerQuestion) -> None:
        for question in questions:
            self.owner_receipts.asked(ASKER, question)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("receipt", [Receipt.WRITTEN, Receipt.SLOW, Receipt.GONE])
def test_a_send_is_answered_when_the_socket_has_taken_or_refused_it(
    bench: Bench, receipt: Receipt
) -> None:
    bench.ask(Send(HERE, 7, "text"))
    before = list(bench.answers)
    bench.member.take(receipt)

    assert (before, bench.answers) == ([], [(7, receipt)])


@pytest.mark.parametrize(
    "question",
    [Send(ConnectionId("no"), 7, "t"), Disconnect(ConnectionId("no"), 7, 4000, "r")],
)
def test_an_unknown_connection_is_gone(bench: Bench, question: OwnerQuestion) -> None:
    bench.ask(question)

    assert bench.answers == [(7, Receipt.GONE)]


@pytest.mark.parametrize("unlinked", [False, True])
def test_an_answer_takes_the_way_of_its_question(bench: Bench, unlinked: bool) -> None:
    bench.ask(Inquire(HERE, 7, unlinked))

    assert bench.told == [(ASKER, Receipted(HERE, 7, Receipt.WRITTEN, FACTS), unlinked)]


def test_a_second_disconnect_finds_nothing(bench: Bench) -> None:
    bench.ask(Disconnect(HERE, 1, 4000, "r"), Disconnect(HERE, 2, 4000, "r"), Inquire(HERE, 3))

    assert bench.answers == [(1, Receipt.WRITTEN), (2, Receipt.GONE), (3, Receipt.GONE)]


def test_of_a_connection_that_is_not_open_yet_there_is_nothing_to_say(bench: Bench) -> None:
    bench.member.takes = Receipt.UNREACHABLE
    bench.ask(Inquire(HERE, 7))

    assert bench.told == [(ASKER, Receipted(HERE, 7, Receipt.UNREACHABLE), False)]


def test_a_repeat_while_it_is_under_way_waits_for_the_same_receipt(bench: Bench) -> None:
    bench.ask(Send(HERE, 1, "text", "key"), Send(HERE, 2, "text", "key"))
    assert len(bench.member.pushed) == 1
    bench.member.take()

    assert bench.answers == [(1, Receipt.WRITTEN), (2, Receipt.WRITTEN)]


@pytest.mark.parametrize("fails_at", ["push", "answer"])
def test_a_repeat_of_what_has_failed_by_a_fault_waits_for_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    def fails(*_: object) -> NoReturn:
        raise RuntimeError

    if fails_at == "push":
        with monkeypatch.context() as broken:
            broken.setattr(bench.member, "push", fails)
            with pytest.raises(RuntimeError):
                bench.ask(Send(HERE, 1, "text", "key"))
    else:
        with monkeypatch.context() as broken:
            broken.setattr(bench.owner_receipts, "_receipt", fails)
            bench.ask(Send(HERE, 1, "text", "key"))
    bench.ask(Send(HERE, 2, "text", "key"))
    bench.member.take()

    assert bench.answers == [(2, Receipt.WRITTEN)]


def test_a_repeat_within_a_minute_is_written_already(bench: Bench) -> None:
    bench.ask(Send(HERE, 1, "text", "key"))
    bench.member.take()
    bench.now = REMEMBERED_S - 0.1
    bench.owner_receipts.forget_old()
    bench.ask(Send(HERE, 2, "text", "key"))

    assert not bench.member.pushed
    assert bench.answers == [(1, Receipt.WRITTEN), (2, Receipt.WRITTEN)]


def test_a_minute_is_enough(bench: Bench) -> None:
    bench.ask(Send(HERE, 1, "text", "key"))
    bench.member.take()
    bench.now = REMEMBERED_S
    bench.owner_receipts.forget_old()
    bench.ask(Send(HERE, 2, "text", "key"))

    assert [text for text, _ in bench.member.pushed] == ["text"]


@pytest.mark.parametrize("receipt", [Receipt.SLOW, Receipt.GONE])
def test_what_was_not_written_may_be_tried_again(bench: Bench, receipt: Receipt) -> None:
    bench.ask(Send(HERE, 1, "text", "key"))
    bench.member.take(receipt)
    bench.ask(Send(HERE, 2, "text", "key"))
    bench.member.take()

    assert bench.answers == [(1, receipt), (2, Receipt.WRITTEN)]


@pytest.mark.parametrize(
    "other", [Send(HERE, 2, "text", "other"), Send(HERE, 2, "other", "key"), Send(HERE, 2, "text")]
)
def test_another_key_another_text_and_no_key_are_other_sends(bench: Bench, other: Send) -> None:
    bench.ask(Send(HERE, 1, "text", "key"))
    bench.member.take()
    bench.ask(other)

    assert len(bench.member.pushed) == 1


def test_keys_that_are_over_are_forgotten(bench: Bench) -> None:
    for n in range(100):
        bench.ask(Send(HERE, n, "text", str(n)))
        bench.member.take()
    bench.now += REMEMBERED_S
    bench.owner_receipts.forget_old()

    assert not bench.owner_receipts._written
    assert not bench.owner_receipts._forget_at


def test_so_many_keys_are_remembered_and_one_more_displaces_the_oldest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.messaging.owner_receipts.MAX_REMEMBERED", 2)
    for n in range(3):
        bench.ask(Send(HERE, n, "text", str(n)))
        bench.member.take()
    bench.ask(Send(HERE, 3, "text", "1"), Send(HERE, 4, "text", "2"))
    assert not bench.member.pushed
    bench.ask(Send(HERE, 5, "text", "0"))

    assert len(bench.member.pushed) == 1


def test_a_worker_that_may_have_been_replaced_touches_no_socket(bench: Bench) -> None:
    bench.holding = True
    bench.ask(Send(HERE, 1, "text"), Disconnect(HERE, 2, 4000, "r"), Inquire(HERE, 3))

    assert (bench.member.pushed, bench.member.closed, bench.answers) == ([], None, [])


# Channels


def test_who_subscribes_a_connection_is_answered_once_it_is_subscribed() -> None:
    bench = Bench()
    bench.ask(SubscribeConnection(HERE, 7, "news"))
    assert not bench.answers

    [(channel, done)] = bench.member.subscribed
    done(Receipt.WRITTEN)
    assert channel == "news"
    assert bench.answers == [(7, Receipt.WRITTEN)]


@pytest.mark.parametrize(
    ("result", "receipt", "error"),
    [
        (ChannelLimit("128"), Receipt.UNREACHABLE, "channel_limit"),
        (WorkerChannelLimit("9"), Receipt.UNREACHABLE, "worker_channel_limit"),
        (BrokerUnavailable("away"), Receipt.UNREACHABLE, None),
        (Receipt.GONE, Receipt.GONE, None),
    ],
)
def test_why_it_cannot_be_subscribed_is_said(
    result: Receipt | GatewayError, receipt: Receipt, error: str | None
) -> None:
    bench = Bench()
    bench.ask(SubscribeConnection(HERE, 7, "news", unlinked=True))
    bench.member.subscribed[0][1](result)

    assert bench.told == [(ASKER, Receipted(HERE, 7, receipt, error=error), True)]


def test_who_unsubscribes_a_connection_is_answered() -> None:
    bench = Bench()
    bench.ask(UnsubscribeConnection(HERE, 7, "news"))

    assert bench.member.unsubscribed == ["news"]
    assert bench.answers == [(7, Receipt.WRITTEN)]


@pytest.mark.parametrize("kind", [SubscribeConnection, UnsubscribeConnection])
def test_a_connection_that_is_not_here_is_in_no_channel(
    kind: type[SubscribeConnection | UnsubscribeConnection],
) -> None:
    bench = Bench()
    bench.ask(kind(ConnectionId("no"), 7, "news"))

    assert bench.answers == [(7, Receipt.GONE)]
