"""When a run is clean, and what is said when it is not."""

from __future__ import annotations

import pytest

from loadtest.arguments import check
from loadtest.record import Record
from loadtest.tally import percentile
from loadtest.verdict import Expected, headline, reasons, unanswered

SENT = "gateway_messages_received_total"
WRITTEN = "gateway_messages_sent_total"
OPENED = "gateway_connections_opened_total"
DELIVERED = "gateway_deliveries_total"


def good(seconds: int = 10) -> Record:
    """100 lines, all answered, 10 connections, and a server that counted the same."""
    record = Record(check({"scenario": "steady"}), "http://here", 1000.0)
    record.load_from_unix_s, record.load_to_unix_s = 1000.0, 1000.0 + seconds
    for name, count in {"sent": 100, "answered": 100, "received": 110, "opened": 10}.items():
        record.tally.count(name, 1001.0, count)
    for second in record.seconds():
        record.load[second] = [20.0, 0.001]
    record.before = {SENT: 5.0, WRITTEN: 5.0, OPENED: 1.0}
    record.after = {SENT: 105.0, WRITTEN: 115.0, OPENED: 11.0}
    return record


def test_a_good_run_is_clean() -> None:
    assert headline(reasons(good(), Expected())) == "clean"


@pytest.mark.parametrize("fault", ["missing", "doubled", "misrouted", "out of order"])
def test_a_fault_is_named_and_counted(fault: str) -> None:
    record = good()
    record.tally.count(f"fault {fault}", 1001.0, 3)

    assert headline(reasons(record, Expected())) == f"not clean: 3 {fault}"


def test_errors_are_named_with_their_codes_and_counts() -> None:
    """Red when all that is said is how many there were: a namespace that is not set up looked like
    a gateway that fails.
    """
    record = good()
    record.before = record.after = None
    record.tally.count("fault answered with an error", 1001.0, 13)
    record.tally.count("error 102 to subscribe (unknown channel)", 1001.0, 12)
    record.tally.count("error 103 to publish (permission denied)", 1001.0, 1)
    record.tally.count("for now 100 to subscribe (internal server error)", 1001.0, 4)

    assert headline(reasons(record, Expected())) == (
        "not clean: 13 answered with an error: 12 x 102 to subscribe (unknown channel), "
        "1 x 103 to publish (permission denied); "
        "told to try again: 4 x 100 to subscribe (internal server error)"
    )


def test_however_many_kinds_of_errors_there_are_the_verdict_is_a_line() -> None:
    record = good()
    record.before = record.after = None
    record.tally.count("fault answered with an error", 1001.0, 10)
    for number in range(10):
        record.tally.count(f"error {number}", 1001.0)

    assert headline(reasons(record, Expected())).endswith("1 x 4, 5 x others")


def test_to_be_told_to_try_again_is_no_fault_by_itself() -> None:
    record = good()
    record.tally.count("for now 100 to subscribe (internal server error)", 1001.0, 4)

    assert reasons(record, Expected()) == []


@pytest.mark.parametrize(("code", "clean"), [(2000, False), (2500, True), (2501, True)])
def test_a_subscription_that_ends_for_good_is_told(code: int, *, clean: bool) -> None:
    record = good()
    record.tally.count(f"unsubscribed {code}", 1001.0, 2)
    found = reasons(record, Expected())

    assert found == ([] if clean else [f"2 subscriptions ended with {code}"])


def test_a_generator_without_cpu_is_not_believed() -> None:
    record = good()
    for second in list(record.seconds())[:4]:
        record.load[second] = [99.0, 0.001]

    assert "generator overloaded" in headline(reasons(record, Expected()))


def test_a_generator_that_comes_late_is_not_believed() -> None:
    record = good()
    for second in list(record.seconds())[:4]:
        record.load[second] = [30.0, 0.4]

    assert "generator overloaded" in headline(reasons(record, Expected()))


def test_one_bad_second_of_a_generator_is_forgiven() -> None:
    record = good(seconds=5)
    record.load[1003] = [100.0, 0.5]

    assert reasons(record, Expected()) == []


@pytest.mark.parametrize(
    ("counter", "value", "says"),
    [
        (SENT, 106.0, "the server read 101 messages, of 100 sent"),
        (SENT, 104.0, "the server read 99 messages, of 100 sent"),
        (WRITTEN, 114.0, "the server wrote 109 messages, and 110 arrived"),
        (OPENED, 10.0, "the server opened 9 connections of 10"),
    ],
)
def test_counters_that_contradict_are_told(counter: str, value: float, says: str) -> None:
    record = good()
    assert record.after is not None
    record.after[counter] = value

    assert f"counters disagree: {says}" in headline(reasons(record, Expected()))


def test_deliveries_that_the_server_knows_nothing_of_are_told() -> None:
    record = good()
    record.tally.count("pushed live", 1001.0, 20)
    assert record.after is not None
    record.after[DELIVERED] = 19.0

    assert headline(reasons(record, Expected())) == (
        "not clean: counters disagree: the server delivered 19 publications, and 20 arrived"
    )


def test_commands_are_messages_too() -> None:
    record = good()
    record.tally.count("commands", 1001.0, 7)
    assert record.after is not None
    record.after[SENT] += 7

    assert reasons(record, Expected()) == []


def test_a_killed_worker_may_take_its_latest_counts_along() -> None:
    record = good()
    assert record.after is not None
    record.after[SENT] = 100.0

    assert reasons(record, Expected(kills=1)) == []
    assert reasons(record, Expected()) != []


def test_a_server_without_metrics_is_not_compared() -> None:
    record = good()
    record.before = record.after = None

    assert reasons(record, Expected()) == []


def test_metrics_that_no_longer_answer_are_no_agreement() -> None:
    record = good()
    record.after = None

    assert reasons(record, Expected()) == [
        "counters are unknown: /metrics answered at first, and not at the end"
    ]


def test_a_run_that_was_stopped_has_no_books_to_compare() -> None:
    record = good()
    record.stopped, record.after = True, None

    assert reasons(record, Expected()) == ["stopped before its time"]


def test_closes_count_unless_they_were_meant() -> None:
    record = good()
    record.tally.count("close 1006", 1002.0, 2)

    assert reasons(record, Expected(closes={1006})) == []
    assert reasons(record, Expected()) == ["2 connections closed with 1006"]


def test_refused_handshakes_count_unless_they_were_meant() -> None:
    record = good()
    record.tally.count("refused HTTP 503", 1002.0, 2)

    assert reasons(record, Expected(refusals={"HTTP 503"})) == []
    assert reasons(record, Expected()) == ["2 handshakes refused: HTTP 503"]


def test_silence_is_not_clean() -> None:
    record = good()
    record.tally.counts["answered"].clear()

    assert "nothing was answered" in reasons(record, Expected())


def test_what_is_answered_after_a_stall_at_the_end_counts_among_latencies() -> None:
    """The last lines are due within the load, and answered when it is over."""
    record = good()
    record.tally.time("echo", 1005.0, 0.002)
    record.tally.time("echo", 1013.0, 9.0)

    assert percentile(record.tally.all_times("echo", record.answering()), 1.0) > 8.5


@pytest.mark.parametrize("answered", [0.0, 90.0])
def test_a_rate_holds_only_if_it_is_answered(answered: float) -> None:
    assert unanswered(100.0, answered) == f"only {answered:.0f}/s were answered"
    assert not unanswered(100.0, 96.0)
