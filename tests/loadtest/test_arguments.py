"""What is refused before anything starts, each in one line."""

from __future__ import annotations

import re

import pytest

from loadtest.arguments import SCENARIOS, Refused, check, parse
from loadtest.limits import check_room


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--scenario", "calm"], "there is no scenario 'calm'; there are steady, ramp"),
        (["--rate", "abc"], "--rate abc is not a number"),
        (["--rate", "-1"], "--rate -1 is outside"),
        (["--users", "2.5"], "--users 2.5 is not a whole number"),
        (["--rate", "nan"], "--rate nan is outside 0.1 to 10,000,000"),
        (["--spawn-rate", "0"], "--spawn-rate 0 is outside"),
        (["--run-time", "30s"], "run-time is not used here"),
        (["--users", "0"], "--users 0 is outside 1 to"),
        (["--seconds", "0"], "--seconds 0 is outside"),
        (["--host", "gateway"], "--host gateway is not like http://"),
        (["--host", "ws://x"], "--host ws://x is not like http://"),
        (["--users", "9000", "--rate", "1"], "at least 150 messages/s"),
        (["--scenario", "push", "--host", "http://x"], "push needs the key"),
        (["--rate"], "expected one argument"),
        (["--masters", "2"], "3 or more"),
        (["--masters", "3", "--host", "http://x"], "of a Cluster that is started: without a host"),
        (["--scenario", "reshard", "--host", "http://x"], "moves slots of a Cluster that it has"),
        (["--scenario", "reshard", "--masters", "0"], "moves slots of a Cluster that it has"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(argv: list[str], says: str) -> None:
    with pytest.raises(Refused, match=re.escape(says)) as refused:
        parse(argv, {})
    assert "\n" not in str(refused.value)


def test_a_scenario_has_usual_figures() -> None:
    for name, usual in SCENARIOS.items():
        found = parse(["--scenario", name], {})
        assert (found.users, found.rate, found.seconds) == (usual.users, usual.rate, usual.seconds)


def test_the_command_line_wins_over_the_environment() -> None:
    found = parse(["--rate", "7"], {"LOADTEST_RATE": "9", "LOCUST_USERS": "3"})

    assert (found.rate, found.users) == (7.0, 3)


@pytest.mark.parametrize(
    ("asked", "files", "ports", "fits"),
    [
        ({"users": 2000}, 1200, 28_000, 1000),  # of the one process
        ({"users": 2000, "processes": 2, "host": "http://127.0.0.1:1"}, 1000, 28_000, 1600),
        ({"users": 40_000, "host": "http://far.example"}, 100_000, 28_000, 28_000),
        ({"users": 40_000, "processes": 4}, 20_000, 28_000, 30_000),  # of two workers
    ],
)
def test_more_users_than_fit_are_told_how_many_do(
    asked: dict[str, object], files: int, ports: int, fits: int
) -> None:
    with pytest.raises(Refused, match=rf"users do not fit: {fits} do, because of"):
        check_room(check({"rate": 1000, **asked}), files=files, ports_per_source=ports)


def test_as_many_users_as_fit_are_taken() -> None:
    asked = check({"rate": 1000, "users": 1000, "workers": 1})

    check_room(asked, files=1200, ports_per_source=28_000)


def test_a_gateway_of_our_own_keeps_what_is_asked_for_and_another_is_not_known() -> None:
    assert check({"scenario": "recovery"}).history == 300
    assert check({"scenario": "recovery", "history": "1"}).history == 1
    assert check({"scenario": "recovery", "host": "http://far.example"}).history == 0


@pytest.mark.parametrize("lacking", [{"users": "3"}, {"channels": "0"}])
def test_channels_need_somebody_to_publish_and_somebody_to_subscribe(
    lacking: dict[str, str],
) -> None:
    with pytest.raises(Refused, match="fanout needs a channel, and 4 users"):
        check({"scenario": "fanout", **lacking})
