"""What is said of one connection."""

from __future__ import annotations

from gateway.http_api import answers
from gateway.protocol.envelopes.requests_to_owners import Particulars


def test_a_ping_without_an_answer_is_told_with_its_age() -> None:
    told = Particulars(1, 2, None, "192.0.2.1", "x", ping_unanswered_ms=1250)

    assert answers.connection(told)["unansweredPingSeconds"] == 1.2


def test_of_a_ping_nothing_is_told_while_none_waits() -> None:
    told = Particulars(1, 2, None, "192.0.2.1", "x")

    assert set(answers.connection(told)) == {"connectedAt", "lastActiveAt", "identity"}
