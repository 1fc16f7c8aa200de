"""The ledger of receipts finds every lie: it is what the fault tier rests on."""

from __future__ import annotations

import pytest

from tests.support.pusher import Push, Receipts

HERE, THERE = "here", "there"


def ledger(receipt: str, arrivals: int = 0) -> Receipts:
    receipts = Receipts({"push 1": Push(HERE, receipt)})
    for _ in range(arrivals):
        receipts.arrived("push 1", HERE)
    return receipts


@pytest.mark.parametrize(
    ("receipt", "arrivals", "lie"),
    [
        ("written", 0, "written, and never arrived"),
        ("written", 2, "arrived twice"),
        ("unreachable", 2, "arrived twice"),
        ("gone", 0, "gone, and lives"),
        ("slow", 1, "slow, and arrived"),
    ],
)
def test_a_lie_is_found(receipt: str, arrivals: int, lie: str) -> None:
    assert ledger(receipt, arrivals).lies({HERE}) == {lie: 1}


@pytest.mark.parametrize(
    ("receipt", "arrivals"),
    [("written", 1), ("unreachable", 0), ("unreachable", 1), ("slow", 0), ("no answer", 1)],
)
def test_what_is_true_is_none(receipt: str, arrivals: int) -> None:
    assert not ledger(receipt, arrivals).lies({HERE})


@pytest.mark.parametrize("receipt", ["written", "gone"])
def test_of_a_connection_that_has_ended_nothing_is_known(receipt: str) -> None:
    assert not ledger(receipt).lies({THERE})


def test_a_push_to_another_socket_is_found() -> None:
    receipts = ledger("written", 1)
    receipts.arrived("push 1", THERE)

    assert receipts.lies({HERE}) == {"arrived elsewhere": 1}


def test_a_push_that_nobody_made_is_found() -> None:
    receipts = ledger("written", 1)
    receipts.arrived("push 2", HERE)

    assert receipts.lies({HERE}) == {"arrived unasked": 1}
