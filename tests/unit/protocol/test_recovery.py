"""What a client has missed: all of it, once and in order, or nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import (
    MAX_READ,
    MAX_RECOVERED,
    History,
    Publication,
    beyond_recovery,
    recover,
)


def at(offset: int, epoch: str = "a") -> Position:
    return Position(epoch, offset)


def run(first: int, last: int, said: str = "") -> list[Publication]:
    return [Publication(n, f"{said}{n}".encode()) for n in range(first, last + 1)]


def history(first: int, last: int, epoch: str = "a") -> History:
    return History(at(last, epoch), run(first, last))


def test_who_has_missed_nothing_needs_nothing() -> None:
    assert recover(at(5), at(5), history=None, held=[]) == []


def test_what_was_read_and_what_arrived_meanwhile_are_one_run() -> None:
    assert recover(at(5), at(9), history=history(6, 8), held=run(7, 9)) == run(6, 9)


def test_what_was_read_beyond_the_worker_comes_live() -> None:
    assert recover(at(5), at(7), history=history(6, 9), held=[]) == run(6, 7)


def test_what_has_arrived_is_enough_without_a_read() -> None:
    assert recover(at(5), at(7), history=None, held=run(6, 7)) == run(6, 7)


def test_what_has_arrived_counts_more_than_what_was_read() -> None:
    held = run(6, 7, "new ")

    assert recover(at(5), at(7), history=history(6, 7), held=held) == held


def test_a_hole_is_no_recovery() -> None:
    assert recover(at(5), at(9), history=history(6, 7), held=run(9, 9)) is None
    assert recover(at(5), at(7), history=history(7, 7), held=[]) is None
    assert recover(at(5), at(7), history=None, held=[]) is None


def test_who_names_no_epoch_means_the_present_one() -> None:
    assert recover(at(0, ""), at(2), history=history(1, 2), held=[]) == run(1, 2)


def test_nobody_recovers_from_another_epoch() -> None:
    assert recover(at(5, "b"), at(5), history=None, held=[]) is None
    assert recover(at(5, "b"), at(7), history=history(6, 7), held=run(6, 7)) is None


def test_a_history_of_another_epoch_counts_for_nothing() -> None:
    assert recover(at(5), at(7), history=history(6, 7, "b"), held=[]) is None


def test_who_has_come_further_does_not_recover() -> None:
    assert recover(at(8), at(7), history=history(1, 7), held=[]) is None


def test_as_many_are_recovered_as_are_read_and_no_more() -> None:
    assert MAX_READ == MAX_RECOVERED == 300
    assert recover(at(0), at(300), history=history(1, 300), held=[]) == run(1, 300)
    assert recover(at(0), at(301), history=history(1, 301), held=[]) is None


def test_no_read_helps_who_has_missed_more() -> None:
    assert not beyond_recovery(at(0), at(300))
    assert beyond_recovery(at(0), at(301))
    assert beyond_recovery(at(0, ""), at(301))
    assert not beyond_recovery(at(0, "b"), at(301))  # perhaps the worker's epoch is the old one


@given(
    since=st.integers(0, 12),
    arrived=st.integers(0, 12),
    top=st.integers(0, 12),
    kept=st.integers(0, 12),
    asked_at=st.integers(0, 12),
    after=st.integers(0, 12),
)
def test_it_is_what_was_published_in_between_or_nothing(
    since: int, arrived: int, top: int, kept: int, asked_at: int, after: int
) -> None:
    """Against a stream of which nothing was lost: at most trimmed, or not asked for."""
    newest = [p for p in run(1, top) if p.offset > max(after, top - kept)]
    held = run(asked_at + 1, arrived)

    found = recover(at(since), at(arrived), history=History(at(top), newest), held=held)

    wanted = range(since + 1, arrived + 1)
    known = {p.offset for p in (*newest, *held)}
    if since <= arrived and known.issuperset(wanted):
        assert found == run(since + 1, arrived)
    else:
        assert found is None
