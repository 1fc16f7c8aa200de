"""A load test that calls a broken gateway clean would be worse than none."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.loadtest import Outcome


@pytest.mark.parametrize(
    ("application", "fault"), [("dropping", "missing"), ("misrouting", "misrouted")]
)
def test_the_fault_of_a_broken_gateway_is_named(
    outcome_of: Callable[[str], Outcome], application: str, fault: str
) -> None:
    outcome = outcome_of(application)

    assert outcome.code == 1, outcome.output
    assert outcome.headline.startswith("not clean: ")
    assert f" {fault}" in outcome.headline
    assert f"{fault}:" in (outcome.folder / "summary.md").read_text()


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("loses", "missing"),
        ("doubles", "doubled"),
        ("reorders", "out of order"),
        ("misroutes", "misrouted"),
        ("forgets", "kept, and not recovered"),
        ("invents", "missing"),
    ],
)
def test_the_fault_of_broken_channels_is_named(
    outcome_of: Callable[[str], Outcome], kind: str, fault: str
) -> None:
    outcome = outcome_of(kind)

    assert outcome.code == 1, outcome.output
    assert f" {fault}" in outcome.headline
    assert f"{fault}:" in (outcome.folder / "summary.md").read_text()


def test_publications_that_were_answered_for_and_are_not_stored_are_told(
    outcome_of: Callable[[str], Outcome],
) -> None:
    outcome = outcome_of("keeps nothing")

    assert outcome.code == 1, outcome.output
    assert re.search(r"\d publications are stored, of \d+ that were answered", outcome.headline)


def test_channels_that_work_are_clean(outcome_of: Callable[[str], Outcome]) -> None:
    outcome = outcome_of("works")

    assert outcome.faults == [], outcome.output


def test_a_gateway_that_lets_nobody_back_in_is_not_clean(
    outcome_of: Callable[[str], Outcome],
) -> None:
    outcome = outcome_of("shutting")

    assert outcome.code == 1, outcome.output
    assert " users were not connected at the end" in outcome.headline
    assert " handshakes refused: HTTP 500" in outcome.headline
