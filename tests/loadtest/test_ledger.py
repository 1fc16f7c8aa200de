"""What a subscriber of a channel is owed, and what becomes of it."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.checker import Fault, Line
from loadtest.ledger import Books, Reply, Subscription, publication

CHANNEL: Final = "loadtest:1"
EPOCH: Final = "abcd"


def text(number: int, channel: str = CHANNEL, publisher: str = "p") -> str:
    return publication(channel, Line(publisher, number, 1_000_000))


def begun(offset: int = 10, history: int = 100) -> Subscription:
    found = Subscription("u", CHANNEL, history)
    assert found.subscribed(reply(offset, was_recovering=False)).fault is None
    return found


def reply(
    offset: int, *, epoch: str = EPOCH, was_recovering: bool = True, recovered: bool = False,
    publications: int = 0,
) -> Reply:  # fmt: skip
    return Reply(epoch, offset, was_recovering, recovered, publications)


def hear(subscription: Subscription, *offsets: int) -> list[Fault | None]:
    return [subscription.hear(CHANNEL, o, text(o), 2.0).fault for o in offsets]


def test_publications_in_order_are_delivered_and_timed() -> None:
    subscription = begun()

    assert subscription.hear(CHANNEL, 11, text(1), 1.25).latency_s == pytest.approx(0.25)
    assert hear(subscription, 12, 13) == [None, None]
    assert subscription.end((EPOCH, 13)) == 0
    assert subscription.books == Books(owed=3, delivered=3)


def test_what_was_overtaken_and_never_comes_is_missing() -> None:
    subscription = begun()

    assert hear(subscription, 11, 13) == [None, None]
    assert subscription.end((EPOCH, 13)) == 1
    assert subscription.books == Books(owed=3, delivered=2, missing=1)


def test_what_was_published_last_and_never_came_is_missing() -> None:
    subscription = begun()
    hear(subscription, 11)

    assert subscription.end((EPOCH, 14)) == 3
    assert subscription.books == Books(owed=4, delivered=1, missing=3)


def test_what_comes_late_is_out_of_order_and_not_missing() -> None:
    subscription = begun()

    assert hear(subscription, 12, 11) == [None, Fault.OUT_OF_ORDER]
    assert subscription.end((EPOCH, 12)) == 0
    assert subscription.books.balance == 0


def test_an_offset_that_comes_again_is_doubled() -> None:
    subscription = begun()

    assert hear(subscription, 11, 11) == [None, Fault.DOUBLED]
    assert subscription.end((EPOCH, 11)) == 0
    assert subscription.books == Books(owed=1, delivered=1)


def test_a_publication_at_two_offsets_is_doubled() -> None:
    subscription = begun()
    subscription.hear(CHANNEL, 11, text(1), 2.0)

    assert subscription.hear(CHANNEL, 12, text(1), 2.0).fault is Fault.DOUBLED


def test_publications_of_one_publisher_stay_in_order() -> None:
    subscription = begun()
    subscription.hear(CHANNEL, 11, text(2), 2.0)
    subscription.hear(CHANNEL, 12, text(4), 2.0)

    assert subscription.hear(CHANNEL, 13, text(1, publisher="other"), 2.0).fault is None
    assert subscription.hear(CHANNEL, 14, text(3), 2.0).fault is Fault.OUT_OF_ORDER


@pytest.mark.parametrize(
    ("channel", "said"), [("loadtest:2", text(1)), (CHANNEL, text(1, "loadtest:2"))]
)
def test_another_channels_publication_is_misrouted(channel: str, said: str) -> None:
    assert begun().hear(channel, 11, said, 2.0).fault is Fault.MISROUTED


def test_what_is_from_before_was_never_asked_for() -> None:
    assert hear(begun(), 10) == [Fault.UNASKED]


def test_recovery_goes_on_where_the_connection_ended() -> None:
    subscription = begun()
    hear(subscription, 11)
    subscription.lost()

    assert subscription.subscribed(reply(11, recovered=True, publications=2)).fault is None
    assert hear(subscription, 12, 13, 14) == [None] * 3
    assert subscription.end((EPOCH, 14)) == 0
    assert subscription.books == Books(owed=4, delivered=4)


def test_a_recovery_with_a_hole_is_missing_something() -> None:
    subscription = begun()
    subscription.subscribed(reply(10, recovered=True, publications=1))
    hear(subscription, 12)

    assert subscription.end((EPOCH, 12)) == 1


def test_a_gap_that_history_could_not_fill_is_declared() -> None:
    subscription = begun(history=5)
    hear(subscription, 11)

    assert subscription.subscribed(reply(17)).fault is None
    assert hear(subscription, 18) == [None]
    assert subscription.end((EPOCH, 18)) == 0
    assert subscription.books == Books(owed=8, delivered=2, declared=6)


def test_a_gap_that_history_could_fill_should_have_been_recovered() -> None:
    assert begun(history=5).subscribed(reply(15)).fault is Fault.UNRECOVERED


def test_no_more_than_a_gateway_sends_must_be_recovered() -> None:
    assert begun(history=1000).subscribed(reply(311)).fault is None


def test_of_a_history_that_is_not_known_nothing_is_expected() -> None:
    assert begun(history=0).subscribed(reply(11)).fault is None


@pytest.mark.parametrize(
    "wrong",
    [
        reply(12, was_recovering=False),
        reply(10, recovered=True, epoch="efgh"),
        reply(200, publications=1),
        reply(9),
    ],
)
def test_an_answer_that_cannot_be_is_a_fault(wrong: Reply) -> None:
    subscription = begun()

    assert subscription.subscribed(wrong).fault is Fault.UNRECOVERED


def test_another_epoch_begins_another_page_of_the_books() -> None:
    subscription = begun()
    hear(subscription, 11)

    assert subscription.subscribed(reply(3, epoch="efgh")).fault is None
    assert subscription.hear(CHANNEL, 4, text(12), 2.0).fault is None
    assert subscription.end(("efgh", 4)) == 0
    assert subscription.books == Books(owed=2, delivered=2)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("hear"), st.integers(0, 40)),
            st.tuples(st.just("lost"), st.just(0)),
            st.tuples(st.sampled_from(["recovered", "declared"]), st.integers(0, 40)),
            st.tuples(st.just("epoch"), st.integers(0, 40)),
        ),
        max_size=40,
    ),
    st.integers(0, 60),
)
def test_the_books_balance_whatever_comes(steps: list[tuple[str, int]], top: int) -> None:
    subscription = begun()
    for number, (what, offset) in enumerate(steps):
        if what == "hear":
            subscription.hear(CHANNEL, offset, text(number), 2.0)
        elif what == "lost":
            subscription.lost()
        else:
            epoch = f"epoch{number}" if what == "epoch" else subscription.epoch
            subscription.subscribed(reply(offset, epoch=epoch, recovered=what == "recovered"))
    subscription.end((subscription.epoch, top))

    assert subscription.books.balance == 0
