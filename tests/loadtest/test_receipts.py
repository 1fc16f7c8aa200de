"""The book of receipts, against transcripts that were doctored."""

from __future__ import annotations

from loadtest import receipts
from loadtest.receipts import ReceiptBook

HERE = "here"


def pushed(book: ReceiptBook, receipt: str) -> str:
    """A push to the one connection, answered so. Returns its text."""
    text, push = book.begin(HERE, 0.0)
    push.receipt = receipt
    return text


def test_a_true_receipt_is_no_lie() -> None:
    book = ReceiptBook("me")
    heard = book.arrive(pushed(book, "written"), HERE, 0.5)

    assert heard is not None
    assert heard.latency_s == 0.5
    assert book.lies({HERE}) == {}
    assert book.awaited == 0


def test_written_and_never_arrived() -> None:
    book = ReceiptBook("me")
    pushed(book, "written")

    assert book.awaited == 1
    assert book.lies({HERE}) == {receipts.LOST: 1}


def test_written_to_a_connection_that_closed_is_no_lie() -> None:
    book = ReceiptBook("me")
    pushed(book, "written")

    assert book.lies(set()) == {}


def test_gone_and_lives() -> None:
    book = ReceiptBook("me")
    pushed(book, "gone")

    assert book.lies({HERE}) == {receipts.ALIVE: 1}


def test_slow_and_arrived() -> None:
    book = ReceiptBook("me")
    book.arrive(pushed(book, "slow"), HERE, 0.5)

    assert book.lies({HERE}) == {receipts.SMUGGLED: 1}


def test_pushed_twice() -> None:
    book = ReceiptBook("me")
    text = pushed(book, "written")
    book.arrive(text, HERE, 0.5)

    assert book.arrive(text, HERE, 0.6) is None
    assert book.lies({HERE}) == {receipts.TWICE: 1}


def test_pushed_to_the_wrong_socket() -> None:
    book = ReceiptBook("me")
    book.arrive(pushed(book, "unreachable"), "elsewhere", 0.5)

    assert book.lies({HERE}) == {receipts.ELSEWHERE: 1}


def test_pushed_by_nobody() -> None:
    book = ReceiptBook("me")
    book.arrive(f"push you-1 {HERE}", HERE, 0.5)

    assert book.lies({HERE}) == {receipts.UNASKED: 1}


def test_unreachable_may_have_been_written_or_not() -> None:
    book = ReceiptBook("me")
    book.arrive(pushed(book, "unreachable"), HERE, 0.5)
    pushed(book, "unreachable")

    assert book.lies({HERE}) == {}


def test_a_call_that_has_not_returned_is_awaited() -> None:
    book = ReceiptBook("me")
    book.begin(HERE, 0.0)

    assert book.awaited == 1
