"""Each scenario, small, against a real gateway."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from loadtest.arguments import SCENARIOS
from tests.loadtest.conftest import FORGETFUL, SMALL
from tests.support.loadtest import ROOT, Outcome, environment, locust

Outcomes = Callable[[str], Outcome]

USERS = {
    "steady": {"SteadyUser"},
    "slow_readers": {"HealthyUser", "SlowReader"},
    "push": {"Listener", "PushUser"},
    "recovery": {"ChannelSubscriber", "ChannelPublisher"},
    "reshard": {"MovedUser"},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_is_clean_on_a_good_gateway(outcome_of: Outcomes, scenario: str) -> None:
    outcome = outcome_of(scenario)

    assert outcome.faults == [], outcome.output


def test_a_clean_run_says_so_and_ends_with_0(outcome_of: Outcomes) -> None:
    outcome = outcome_of("steady")
    verdict = "clean" if not outcome.reasons else f"not clean: {'; '.join(outcome.reasons)}"

    assert outcome.headline == verdict
    said = outcome.output.rstrip().splitlines()
    books = dict(line.split(": ", 1) for line in said[said.index(verdict) + 1 :])
    first, *_, last = books
    assert (first, last) == ("messages", "report")
    assert books.items() - {"report": books["report"]}.items() <= outcome.facts["figures"].items()
    assert outcome.code == (1 if outcome.reasons else 0)


def test_every_scenario_is_tried() -> None:
    assert SMALL.keys() == SCENARIOS.keys()


def test_a_storm_brings_everybody_back_twice(outcome_of: Outcomes) -> None:
    assert outcome_of("connect_storm").facts["figures"]["away"].endswith("(120)")


def test_slow_readers_are_let_go_and_nobody_else(outcome_of: Outcomes) -> None:
    figures = outcome_of("slow_readers").facts["figures"]

    assert "closes of slow readers" in figures
    assert "closes" not in figures


def test_a_rolling_restart_sends_everybody_away_with_3001(outcome_of: Outcomes) -> None:
    assert outcome_of("rolling_restart").facts["figures"]["closes"] == "3001: 80"


def test_two_workers_are_killed(outcome_of: Outcomes) -> None:
    summary = (outcome_of("kill_worker").folder / "summary.md").read_text()

    assert summary.count("worker killed") == 2


def test_every_publication_reaches_every_subscriber_of_its_channel(outcome_of: Outcomes) -> None:
    figures = outcome_of("fanout").facts["figures"]

    books = figures["publications"] + " / " + figures["ledger"]
    found = re.fullmatch(
        r"(\d+) taken, .* 0 in doubt; (\d+) stored / "
        r"(\d+) owed to subscribers = (\d+) delivered \+ 0 declared missing",
        books,
    )
    assert found, books
    taken, stored, owed, delivered = found.groups()
    assert taken == stored
    assert owed == delivered
    assert int(owed) > 5 * int(stored)  # some seven subscribers a channel
    assert "p95" in figures["latency of deliveries"]


def test_who_was_cut_off_recovers(outcome_of: Outcomes) -> None:
    outcome = outcome_of("recovery")
    figures = outcome.facts["figures"]

    assert re.search(r"[1-9]\d* recovered, 0 not recovered", figures["gaps"]), outcome.output
    assert figures["ledger"].endswith(" 0 declared missing")
    assert "live again" in figures
    assert (outcome.folder / "summary.md").read_text().count("worker killed") == 2


@pytest.mark.parametrize("scenario", ["reshard", "reshard_channels"])
def test_slots_that_are_in_use_move(outcome_of: Outcomes, scenario: str) -> None:
    figures = outcome_of(scenario).facts["figures"]

    found = re.match(r"(\d+), in (\d+) rounds over 3 masters", figures["slots moved"])
    assert found
    slots, rounds = map(int, found.groups())
    # Leases and registry, two inboxes, the channel of all workers; each channel, and presence.
    assert slots >= rounds * (4 if scenario == "reshard" else 12)
    assert "closes" not in figures


def test_publications_keep_their_books_while_slots_move(outcome_of: Outcomes) -> None:
    figures = outcome_of("reshard_channels").facts["figures"]

    found = re.fullmatch(
        r"(\d+) owed to subscribers = (\d+) delivered \+ 0 declared missing", figures["ledger"]
    )
    assert found
    assert found[1] == found[2] != "0"
    assert figures["gaps"].endswith(" 0 not recovered")  # who had to ask was given all of it


def test_what_is_no_longer_kept_is_declared(outcome_of: Outcomes) -> None:
    outcome = outcome_of(FORGETFUL)
    figures = outcome.facts["figures"]

    assert outcome.faults == [], outcome.output
    assert re.search(r"[1-9]\d* not recovered", figures["gaps"]), outcome.output
    assert re.search(r" [1-9]\d* declared missing", figures["ledger"])


def test_every_push_has_a_receipt(outcome_of: Outcomes) -> None:
    receipts = outcome_of("push").facts["figures"]["receipts"]

    assert receipts.startswith("written: ")
    assert int(receipts.removeprefix("written: ")) > 200


def test_a_ramp_says_what_was_held(outcome_of: Outcomes) -> None:
    facts = outcome_of("ramp").facts

    assert facts["results"]["knee_per_s"] > 45
    assert "messages/s at p99" in facts["figures"]["knee"]


def test_a_run_says_how_it_goes_while_it_runs(outcome_of: Outcomes) -> None:
    output = outcome_of("steady").output

    assert re.search(r"load +connected 30  sent \d+/s  answered \d+/s  p50 \d", output)


def test_users_of_several_processes_are_added_up(outcome_of: Outcomes) -> None:
    figures = outcome_of("soak").facts["figures"]

    assert figures["generator"].startswith("2 process(es)")
    assert figures["handshakes"].endswith("(60)")


@pytest.mark.parametrize("scenario", USERS)
def test_exactly_the_scenarios_users_are_exposed(scenario: str) -> None:
    listed = subprocess.run(
        [locust(), "-f", "loadtest/locustfile.py", "--scenario", scenario, "--list"],
        cwd=ROOT, env=environment(ROOT), capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip

    assert set(listed.stdout.split()[2:]) == USERS[scenario]
