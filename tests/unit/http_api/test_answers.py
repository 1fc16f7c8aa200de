"""What is said of one connection."""

from __future__ import annotations

from gateway.http_api import answers
from gateway.protocol.envelopes.requests_to_owners import Particulars
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo


def test_a_ping_without_an_answer_is_told_with_its_age() -> None:
    told = Particulars(1, 2, None, "192.0.2.1", "x", ping_unanswered_ms=1250)

    assert answers.connection(told)["unansweredPingSeconds"] == 1.2


def test_of_a_ping_nothing_is_told_while_none_waits() -> None:
    told = Particulars(1, 2, None, "192.0.2.1", "x")

    assert set(answers.connection(told)) == {"connectedAt", "lastActiveAt", "identity"}


def test_what_the_owner_counts_is_told() -> None:
    worker = WorkerId("a" * 16)
    told = Particulars(
        1, 2, None, "", "", waiting_bytes=3, received=4, sent=0, unanswered=5, handled_by=worker
    )

    assert {
        "waitingBytes": 3, "received": 4, "sent": 0, "unanswered": 5, "handledBy": worker,
    }.items() <= answers.connection(told).items()  # fmt: skip


def test_a_worker_that_is_fenced_is_listed_only_for_those_who_ask() -> None:
    live, dead = WorkerId("a" * 16), WorkerId("b" * 16)
    info = WorkerInfo(edge=True, handler=True)
    leases = Leases(1000, {live: (2000, info), dead: (0, info)}, fenced={dead})

    living = answers.workers(leases, fenced=False)
    every = answers.workers(leases, fenced=True)

    assert [(row["id"], row["state"]) for row in living] == [(live, "live")]
    assert [(row["id"], row["state"]) for row in every] == [(live, "live"), (dead, "fenced")]
