"""When a worker reports, and what."""

from __future__ import annotations

import pytest

from gateway.protocol.reports import (
    ASKED_EACH_S,
    COUNTED,
    REPORTS,
    WATCHED_S,
    Reporting,
    Totals,
    is_reserved,
)

NOTHING = dict.fromkeys(COUNTED, 0)


@pytest.mark.parametrize(
    ("channel", "reserved"),
    [(REPORTS, True), ("@admin:other", True), ("@admin", False), ("admin:reports", False)],
)
def test_the_channels_of_the_gateways_own_have_a_name_of_their_own(
    channel: str, *, reserved: bool
) -> None:
    assert is_reserved(channel) is reserved


def test_whether_anybody_looks_is_believed_for_a_while() -> None:
    reporting = Reporting()
    reporting.watched(10.0)

    assert reporting.is_watched(10.0 + WATCHED_S - 0.1)
    assert not reporting.is_watched(10.0 + WATCHED_S)


def test_nothing_is_reported_while_nobody_looks() -> None:
    reporting = Reporting()

    assert not any(reporting.must_report(now / 2) for now in range(20))


def test_reports_come_once_a_second_and_the_first_one_at_once() -> None:
    reporting = Reporting()
    reporting.watched(10.0)

    at = [now / 2 for now in range(20, 30) if reporting.must_report(now / 2)]

    assert at == [10.0, 11.0, 12.0, 13.0, 14.0]


def test_reports_end_when_nobody_has_said_for_a_while_that_they_look() -> None:
    reporting = Reporting()
    reporting.watched(10.0)

    assert reporting.must_report(10.0 + WATCHED_S - 0.01)
    assert not reporting.must_report(10.0 + WATCHED_S)


def test_who_is_asked_again_in_time_reports_no_sooner_for_it() -> None:
    reporting = Reporting()
    reporting.watched(10.0)
    assert reporting.must_report(10.0)

    reporting.watched(10.5)

    assert not reporting.must_report(10.5)


def test_who_is_asked_after_a_pause_reports_at_once() -> None:
    reporting = Reporting()
    reporting.watched(10.0)
    reporting.must_report(10.0 + WATCHED_S - 0.1)

    reporting.watched(10.0 + WATCHED_S)

    assert reporting.must_report(10.0 + WATCHED_S)


def test_others_are_asked_again_and_again_while_somebody_looks_here() -> None:
    reporting = Reporting()

    asked = [at for at in range(8) if reporting.must_ask(float(at), subscribers=at < 6)]

    assert asked == [0, ASKED_EACH_S, 2 * ASKED_EACH_S]


def test_who_looks_again_asks_at_once() -> None:
    reporting = Reporting()
    assert reporting.must_ask(1.0, subscribers=1)
    assert not reporting.must_ask(1.5, subscribers=0)

    assert reporting.must_ask(2.0, subscribers=1)


def test_rates_are_of_what_came_since_the_last_report() -> None:
    totals = Totals()
    totals.add(NOTHING | {"received": 100})
    assert totals.rates(1.0) == NOTHING  # it may have taken hours

    totals.add(NOTHING | {"received": 30, "pushes": 1})
    totals.add(NOTHING | {"received": 15})

    assert totals.rates(3.0) == NOTHING | {"received": 22.5, "pushes": 0.5}
    assert totals.counted == NOTHING | {"received": 145, "pushes": 1}


def test_there_is_no_rate_over_a_time_in_which_nobody_looked() -> None:
    totals = Totals()
    totals.rates(1.0)
    totals.add(NOTHING | {"received": 1000})

    assert totals.rates(1.0 + WATCHED_S) == NOTHING
    assert totals.rates(1.0 + WATCHED_S) == NOTHING  # nor over no time at all
